// Goal: a record that was accepted on two sides is read once, and never not at all. Method: oak and elm took the same records;
// a reader comes with a cursor to a peer that holds both feeds, one of them, or less and less of one.
import { describe, expect, test } from 'vitest'
import type { ReaderStart } from './read-source.ts'
import type { TopicId } from '#protocol/ids'
import type { FeedId } from '#protocol/log/feed'
import { producerRangesOf, readBatchHeader } from '#protocol/log/batch'
import { indexedRangeOf, ProducerIndex } from '#protocol/log/producer-index'
import { encodeRecords } from '#protocol/log/record'
import { spansOf } from '#protocol/peer/producer-indexes'
import { textOf, utf8 } from '#protocol/text'
import type { TopicName } from '#protocol/topic-name'
import type { BatchToStore, StoredFeed } from '#storage/feed-store'
import { MemoryStore } from '#storage/memory-store'
import { SampleFeed } from '#storage/sample-feed'
import { nodeDigests } from './node-digests.ts'
import type { ReadSource } from './read-source.ts'
import { openReader } from './reader.ts'

const topic = 'orders' as TopicName
const id = new Uint8Array(16).fill(0xaa)

/** A writer's feed of batches: numbers are those of a producer, a text is a record without one. */
function feedOf(writer: string, ...batches: readonly (readonly (number | string)[])[]): readonly BatchToStore[] {
  const feed = new SampleFeed({ writer, digests: nodeDigests })
  const sets = batches.map((batch) =>
    encodeRecords(
      batch.map((each) => {
        const producer = typeof each === 'number' && { producer: { id, epoch: 0, seq: each } }
        return { value: utf8(`${writer} ${each}`), headers: {}, ...producer }
      }),
    ),
  )
  return [feed.open(), ...sets.map((set) => feed.batchOf(set))]
}

/** A peer that holds these batches. Its index knows them all, as one does that was written before some were lost. */
class Peer implements ReadSource {
  readonly #store = new MemoryStore(nodeDigests)
  readonly #index = new ProducerIndex()
  #feeds: readonly StoredFeed[] = []
  /** Nothing of it below `keptFrom` is read any more, though the floor on disk is still a lower one. */
  #letGo: { readonly feed: FeedId; readonly keptFrom: number } | undefined

  static async with(batches: readonly BatchToStore[], known: readonly BatchToStore[] = batches): Promise<Peer> {
    const peer = new Peer()
    await peer.store(batches, known)
    return peer
  }

  async store(batches: readonly BatchToStore[], known: readonly BatchToStore[] = batches): Promise<void> {
    await this.#store.append(batches)
    this.#feeds = await this.#store.feeds()
    for (const { feed, bytes } of known) {
      const header = readBatchHeader(bytes)
      if (typeof header === 'string') throw new Error(header)
      const ranges = rangesOf(bytes)
      for (const span of spansOf(feed, { ...header, hlcMs: header.hlc.ms, producerRanges: ranges }))
        this.#index.insert(span)
    }
  }

  async letGo({ feed, head: floor }: BatchToStore, keptFrom: number): Promise<void> {
    this.#letGo = { feed, keptFrom }
    await this.#store.append([], [{ type: 'floor', feed, floor }])
    this.#feeds = await this.#store.feeds()
  }

  feeds() {
    return this.#feeds.map((feed) => ({ ...feed, lost: [] }))
  }

  async read(feed: FeedId, position: number, bytesMax: number) {
    const { feed: letGo, keptFrom = 0 } = this.#letGo ?? {}
    if (letGo?.writer === feed.writer && position < keptFrom) {
      return { batches: [], damaged: { from: position, to: keptFrom } }
    }
    return this.#store.read(feed, position, bytesMax)
  }

  producers() {
    return Promise.resolve(this.#index)
  }

  standing() {
    return 'current' as const
  }

  onAdvance() {
    return () => {}
  }

  advances() {
    return 0
  }
}

function rangesOf(bytes: Uint8Array) {
  const header = readBatchHeader(bytes)
  const ranges = typeof header === 'string' ? header : producerRangesOf(bytes, header)
  if (typeof ranges === 'string') throw new Error(ranges)
  return ranges.map(indexedRangeOf)
}

async function read(source: Peer, from: ReaderStart = { type: 'earliest' }, limit = 100) {
  const topicId = source.feeds()[0]?.feed.topicId
  if (topicId === undefined) throw new Error('the peer holds a feed')
  const reader = openReader({ source, topic, topicId, from, digests: nodeDigests, wallMs: 1 })
  const { records, cursor } = await reader.next(limit)
  return { values: records.map(({ record }) => textOf(record.value)), cursor: { type: 'cursor' as const, cursor } }
}

const oak = feedOf('oak', [0, 1], ['x'], [2, 3])
const elm = feedOf('elm', ['y'], [1, 2], [4])

describe('a record in the log twice', () => {
  test('is read where it is met first', async () => {
    const { values } = await read(await Peer.with([...oak, ...elm]))
    expect(values.filter((value) => value?.endsWith(' 1'))).toHaveLength(1)
    expect(values.filter((value) => value?.endsWith(' 2'))).toHaveLength(1)
    expect(values).toHaveLength(7)
  })

  test('is read once by who goes on after the heal, at any point', async () => {
    const both = await Peer.with([...oak, ...elm])
    for (let limit = 1; limit <= 5; limit++) {
      const before = await read(await Peer.with(oak), { type: 'earliest' }, limit)
      const { values } = await read(both, before.cursor)
      const numbers = [...before.values, ...values].flatMap((value) => /\d$/.exec(value ?? '') ?? [])
      expect(numbers.toSorted()).toEqual(['0', '1', '2', '3', '4'])
    }
  })

  test('is passed over in a batch that has others, and a batch of nothing else is not given at all', async () => {
    const before = await read(await Peer.with(oak))
    const source = await Peer.with([...oak, ...elm, ...feedOf('ash', [2, 3], [0, 5, 1, 2])])
    const topicId = elm[0]?.feed.topicId as TopicId
    const reader = openReader({ source, topic, topicId, from: before.cursor, digests: nodeDigests, wallMs: 1 })
    const { batches, cursor } = await reader.nextBatches(100, 1e6)
    const given = batches.map(({ feed, from, skip, count }) => ({ writer: feed.split('.')[0], from, skip, count }))
    expect(given.toSorted((a, b) => `${a.writer}${a.from}`.localeCompare(`${b.writer}${b.from}`))).toEqual([
      {
        writer: 'ash',
        from: 2,
        skip: [
          { from: 2, to: 3 },
          { from: 4, to: 6 },
        ],
        count: 1,
      },
      { writer: 'elm', from: 0, skip: [], count: 1 },
      { writer: 'elm', from: 3, skip: [], count: 1 },
    ])
    expect((await read(source, { type: 'cursor', cursor })).values).toEqual([])
  })

  test('comes again where the copy that was read is not held', async () => {
    const before = await read(await Peer.with(oak))
    expect((await read(await Peer.with(elm), before.cursor)).values).toEqual(['elm y', 'elm 1', 'elm 2', 'elm 4'])
  })

  test('comes although a copy was here once: an index that knows of it is not the log', async () => {
    const before = await read(await Peer.with(oak))
    const lostTail = await Peer.with([...oak.slice(0, 2), ...elm], [...oak, ...elm])
    expect((await read(lostTail, before.cursor)).values).toEqual(['elm y', 'elm 2', 'elm 4'])
  })
})

test('a copy is found behind what retention is just letting go of (simulator, seed 1317)', async () => {
  const before = feedOf('oak', [0], ['x'], ['x'], [1])
  const { cursor } = await read(await Peer.with(before))
  const peer = await Peer.with([...before, ...feedOf('elm', [1], ['y'])])
  await peer.letGo(before[2] as BatchToStore, 3)
  expect((await read(peer, cursor)).values).toEqual(['elm y'])
})

test('a copy in the same feed is passed over, however its producer goes on (simulator, seed 4560)', async () => {
  const peer = await Peer.with(feedOf('oak', [0], [1], [0], ['x', 'x', 'x'], [2]))
  expect((await read(peer)).values).toEqual(['oak 0', 'oak 1', 'oak x', 'oak x', 'oak x', 'oak 2'])
})

test('a copy that comes while a reader is within a batch counts for the rest of it (simulator, seed 1207)', async () => {
  const { cursor } = await read(await Peer.with(oak))
  const peer = await Peer.with(elm)
  const topicId = elm[0]?.feed.topicId as TopicId
  const reader = openReader({ source: peer, topic, topicId, from: cursor, digests: nodeDigests, wallMs: 1 })
  const next = async (limit: number) => (await reader.next(limit)).records.map(({ record }) => textOf(record.value))
  expect(await next(2)).toEqual(['elm y', 'elm 1'])
  await peer.store(oak)
  expect(await next(10)).toEqual(['elm 4'])
})

test('a cursor that moves on past a repeat does not come back to it', async () => {
  const both = await Peer.with([...oak, ...elm])
  let from: ReaderStart = { type: 'earliest' }
  const values: (string | undefined)[] = []
  for (let i = 0; i < 10; i++) {
    const { values: some, cursor } = await read(both, from, 1)
    values.push(...some)
    from = cursor
  }
  expect(values).toEqual((await read(both)).values)
})
