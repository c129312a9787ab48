import { describe } from 'vitest'
import { appending } from './appending.ts'
import { closing, metadata } from './metadata.ts'
import { lettingGo } from './letting-go.ts'
import { type Open } from './store-under-test.ts'
import { reading } from './reading.ts'
import { repairing } from './repairing.ts'

/** What every FeedStore does. A new engine is finished when this passes: call it in a test file of its own. */
export function feedStoreCompliance(name: string, open: Open): void {
  describe(`${name} is a feed store`, () => {
    appending(open)
    reading(open)
    lettingGo(open)
    repairing(open)
    metadata(open)
    closing(open)
  })
}
