// Batches from other peers' disks: each range is asked for once, kept a while, and never more of it than was granted.
import { expect, test } from 'vitest'
import { SampleFeed } from '#storage/sample-feed'
import { type RangeWanted, RemoteBatches } from './remote-batches.ts'

const everything = 1_000_000

/** `orders/oak` with a batch of one record for each value, all of one size. */
function ordersOf(count: number, writer = 'oak') {
  const feed = new SampleFeed({ writer })
  feed.open()
  const batches = Array.from({ length: count }, (_, n) => feed.batch(`r${n % 10}`).bytes)
  return { feed: feed.id, batches, sizeBytes: batches[0]?.length ?? 0 }
}

function remoteOf(cacheBytesMax?: number) {
  const asked: RangeWanted[] = []
  const remote = new RemoteBatches((wanted) => asked.push(wanted), cacheBytesMax)
  /** Answers the oldest question that has no answer yet. */
  const answer = (batches: readonly Uint8Array[]) => remote.answered(asked.shift()?.ref ?? 0, batches)
  return { remote, asked, answer }
}

test('readers that want the same at once are answered by one question', async () => {
  const { remote, asked, answer } = remoteOf()
  const { feed, batches } = ordersOf(2)
  const reads = [remote.read(feed, 0, everything), remote.read(feed, 0, everything)]
  expect(asked).toMatchObject([{ feed, position: 0 }])
  answer(batches)
  expect(await Promise.all(reads)).toEqual([batches, batches])
})

test('what has come is not asked for again, and is given in parts of the size that is asked for', async () => {
  const { remote, asked, answer } = remoteOf()
  const { feed, batches, sizeBytes } = ordersOf(4)
  const first = remote.read(feed, 0, 2 * sizeBytes)
  answer(batches)
  expect(await first).toEqual(batches.slice(0, 2))
  expect(await remote.read(feed, 2, 1)).toEqual(batches.slice(2, 3))
  expect(await remote.read(feed, 2, everything)).toEqual(batches.slice(2))
  expect(asked).toEqual([])
})

test('a position inside a batch, where a cursor may be, is asked for', async () => {
  const { remote, asked, answer } = remoteOf()
  const { feed } = ordersOf(0)
  const sample = new SampleFeed()
  sample.open()
  const batch = sample.batch('a', 'b', 'c').bytes
  const whole = remote.read(feed, 0, everything)
  answer([batch])
  await whole
  void remote.read(feed, 2, everything)
  expect(asked).toMatchObject([{ position: 2 }])
})

test('who wants one batch asks for one, and does not wait for who wants many', async () => {
  const { remote, asked, answer } = remoteOf()
  const { feed, batches } = ordersOf(2)
  const [one] = [remote.read(feed, 0, 1), remote.read(feed, 0, everything)]
  expect(asked.map(({ bytesMax }) => bytesMax > 1)).toEqual([false, true])
  answer(batches.slice(0, 1))
  expect(await one).toEqual(batches.slice(0, 1))
})

test('beyond its bound, what came first is forgotten first', async () => {
  const { feed, batches, sizeBytes } = ordersOf(3)
  const { remote, asked, answer } = remoteOf(2 * sizeBytes)
  const read = remote.read(feed, 0, everything)
  answer(batches)
  await read
  expect(remote.cachedBytes).toBe(2 * sizeBytes)
  expect(await remote.read(feed, 1, everything)).toEqual(batches.slice(1))
  void remote.read(feed, 0, everything)
  expect(asked).toHaveLength(1)
})

test('feeds are told apart', async () => {
  const { remote, asked, answer } = remoteOf()
  const { feed, batches } = ordersOf(1)
  const read = remote.read(feed, 0, everything)
  answer(batches)
  await read
  void remote.read(ordersOf(0, 'elm').feed, 0, everything)
  expect(asked).toHaveLength(1)
})

test('nothing is what a reader gets when nobody can give it, and when the peer stops; it may ask again', async () => {
  const { remote, asked, answer } = remoteOf()
  const { feed, batches } = ordersOf(1)
  const failed = remote.read(feed, 0, everything)
  answer([])
  expect(await failed).toEqual([])
  const again = remote.read(feed, 0, everything)
  answer(batches)
  expect(await again).toEqual(batches)
  const stopped = remote.read(feed, 1, everything)
  expect(asked).toHaveLength(1)
  remote.stop()
  expect(await stopped).toEqual([])
})
