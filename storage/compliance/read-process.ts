import { createHash } from 'node:crypto'
import { NOTHING } from '#protocol/log/feed'
import { crc32 } from 'node:zlib'
import { openDataDirectory } from '../data-directory.ts'
import { openLevelStore } from '../open-level-store.ts'

/**
 * Opens a store and prints the SHA-256 of each batch that it has, for tests of damage that ends a process.
 *
 *   node read-process.ts <data directory>
 */
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes)
const digests = { crc32, sha256: (bytes: Uint8Array) => sha256(bytes).digest() }

const directory = await openDataDirectory({ path: process.argv[2] ?? '', cluster: 'grove' })
const store = await openLevelStore({ directory, digests, onWarning: () => {} })
for (const { feed } of await store.feeds()) {
  for (let position = NOTHING; ;) {
    const { batches, damaged } = await store.read(feed, position, Number.MAX_SAFE_INTEGER)
    for (const bytes of batches) process.stdout.write(`${sha256(bytes).digest('hex')}\n`)
    if (damaged === undefined) break
    position = damaged.to
  }
}
await store.close()
