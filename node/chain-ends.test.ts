// What a hole has to fit to, as the store around it says.
import { expect, test } from 'vitest'
import { MemoryStore } from '#storage/memory-store'
import { SampleFeed } from '#storage/sample-feed'
import { findChainEnds } from './chain-ends.ts'
import { nodeDigests } from './node-digests.ts'

/** Opening batch and batches [0, 1), [1, 3), [3, 4), [4, 6), of which [1, 3) is damaged. */
async function damagedStore() {
  const feed = new SampleFeed()
  const batches = [feed.open(), feed.batch('a'), feed.batch('b', 'c'), feed.batch('d'), feed.batch('e', 'f')]
  const store = new MemoryStore(nodeDigests)
  await store.append(batches)
  const bytes = batches[2]?.bytes as Uint8Array
  bytes[bytes.length - 1] = ~(bytes.at(-1) as number)
  const endsOf = (from: number, to: number) => findChainEnds({ store, digests: nodeDigests }, feed.id, { from, to })
  return { hashes: batches.map(({ head }) => head.hash), endsOf }
}

test('the batch before a range and the one after it say what it has to be', async () => {
  const { hashes, endsOf } = await damagedStore()
  expect(await endsOf(1, 3)).toEqual({ before: hashes[1], after: hashes[2] })
})

test('the opening batch is before the first range, and after the last there is none', async () => {
  const { hashes, endsOf } = await damagedStore()
  expect(await endsOf(0, 1)).toMatchObject({ before: hashes[0] })
  expect(await endsOf(4, 6)).toEqual({ before: hashes[3], after: undefined })
})

test('a damaged batch says nothing', async () => {
  const { endsOf } = await damagedStore()
  expect(await endsOf(0, 1)).toMatchObject({ after: undefined })
  expect(await endsOf(3, 4)).toMatchObject({ before: undefined })
})
