// Goal: what the log says of producers' records is found wherever it is, and nothing is found that is not there. Method: a
// feed on a memory store, each batch a few records of one of two producers.
import { expect, test } from 'vitest'
import { type FeedId, feedKeyOf } from '#protocol/log/feed'
import { encodeProducerCheckpoint } from '#protocol/log/producer-checkpoint'
import { indexedRangeOf, type ProducerId, ProducerIndex } from '#protocol/log/producer-index'
import { encodeRecords, type LogRecord } from '#protocol/log/record'
import type { SoughtRange } from '#protocol/peer/inputs'
import { bytesOfHex, utf8 } from '#protocol/text'
import { MemoryStore } from '#storage/memory-store'
import { SampleFeed } from '#storage/sample-feed'
import { nodeDigests } from './node-digests.ts'
import { ProducerLog, producersKey } from './producer-log.ts'

const [shop, till] = ['aa', 'bb'].map((byte) => byte.repeat(16)) as [ProducerId, ProducerId]

interface Numbers {
  readonly producer?: ProducerId
  readonly seq: number
  readonly count?: number
  readonly value?: string
}

const recordsOf = ({ producer = shop, seq, count = 1, value = 'pears' }: Numbers): LogRecord[] =>
  Array.from({ length: count }, (_, i) => ({
    value: utf8(`${value} ${seq + i}`),
    headers: {},
    producer: { id: bytesOfHex(producer) as Uint8Array, epoch: 0, seq: seq + i },
  }))

/** A log of these batches. What is read of it is counted, in batches. */
class World {
  readonly feed: FeedId
  readonly log: ProducerLog
  batchesRead = 0
  durable: number | undefined
  readonly #store = new MemoryStore(nodeDigests)
  readonly #sample = new SampleFeed({ digests: nodeDigests })
  readonly #waiting: (() => void)[] = []

  constructor() {
    this.feed = this.#sample.id
    this.log = new ProducerLog({
      durable: () => this.durable,
      read: async (...asked) => {
        const read = await this.#store.read(...asked)
        this.batchesRead += read.batches.length
        return read
      },
      advanced: () => new Promise((resolve) => this.#waiting.push(resolve)),
      getMeta: (key) => this.#store.getMeta(key),
    })
  }

  static async of(batches: readonly Numbers[]): Promise<World> {
    const world = new World()
    await world.#store.append([world.#sample.open()])
    for (const numbers of batches) await world.#store.append([world.#sample.batchOf(encodeRecords(recordsOf(numbers)))])
    world.durable = world.#sample.head.nextOffset
    return world
  }

  async keep(key: string, value: Uint8Array): Promise<void> {
    await this.#store.append([], [{ type: 'meta', key, value }])
  }

  diskIsAt(offset: number | undefined): void {
    this.durable = offset
    for (const advanced of this.#waiting.splice(0)) advanced()
  }

  /** The index of all that is loaded. */
  async loaded(): Promise<ProducerIndex> {
    const index = new ProducerIndex()
    const feeds = [{ feed: this.feed, endOffset: this.#sample.head.nextOffset }]
    const order = { type: 'loadProducers' as const, topicId: this.feed.topicId, feeds }
    for await (const spans of this.log.load(order)) for (const span of spans) index.insert(span)
    return index
  }

  /** Offsets of these records, as an index of the whole log leads to them. */
  async find(numbers: Numbers): Promise<readonly string[]> {
    const index = await this.loaded()
    this.batchesRead = 0
    const set = encodeRecords(recordsOf(numbers))
    const ranges = set.producerRanges.map(indexedRangeOf).map((range): SoughtRange => {
      return { ...range, ref: 1, places: index.find(range) }
    })
    const originals = await this.log.find(ranges, () => set)
    return originals.map(({ firstIndex, firstOffset, count }) => `${firstIndex}+${count}@${firstOffset}`)
  }
}

test('records are found where they are, each at its offset', async () => {
  const world = await World.of([
    { seq: 0, count: 3 },
    { producer: till, seq: 0, count: 2 },
    { seq: 3, count: 2 },
  ])
  expect(await world.find({ seq: 1, count: 4 })).toEqual(['0+2@1', '2+2@5'])
})

test('of records that are there in part, that part', async () => {
  const world = await World.of([{ seq: 0, count: 3 }])
  expect(await world.find({ seq: 2, count: 4 })).toEqual(['0+1@2'])
  expect(await world.find({ seq: 3 })).toEqual([])
})

test('another record under the same number is an error', async () => {
  const world = await World.of([{ seq: 0, count: 3 }])
  await expect(world.find({ seq: 1, value: 'apples' })).rejects.toMatchObject({ code: 'RETRY_DIFFERS' })
})

test('among the records of many others the newest are found without reading all', async () => {
  const batches = Array.from({ length: 2_000 }, (_, i) =>
    i % 100 === 0 ? { seq: i / 100 } : { producer: till, seq: i },
  )
  const world = await World.of(batches)
  expect(await world.find({ seq: 19 })).toEqual(['0+1@1900'])
  expect(world.batchesRead).toBeLessThan(600)
  expect(await world.find({ seq: 3 })).toEqual(['0+1@300'])
})

test('what is on its way to the disk is waited for', async () => {
  const world = await World.of([{ seq: 0 }, { seq: 1 }])
  const index = await world.loaded()
  const set = encodeRecords(recordsOf({ seq: 1 }))
  const [range] = set.producerRanges.map(indexedRangeOf)
  if (range === undefined) throw new Error('it has a producer')
  world.durable = 1
  let found: unknown
  const searching = world.log.find([{ ...range, ref: 1, places: index.find(range) }], () => set)
  void searching.then((originals) => (found = originals))
  await Promise.resolve()
  expect(found).toBeUndefined()
  world.diskIsAt(2)
  expect(await searching).toMatchObject([{ firstOffset: 1 }])
})

test('a peer that stops ends a search', async () => {
  const world = await World.of([{ seq: 0 }])
  const index = await world.loaded()
  const set = encodeRecords(recordsOf({ seq: 0 }))
  const ranges = set.producerRanges.map(indexedRangeOf)
  world.durable = 0
  const searching = world.log.find(
    ranges.map((range) => ({ ...range, ref: 1, places: index.find(range) })),
    () => set,
  )
  world.diskIsAt(undefined)
  expect(await searching).toEqual([])
})

test('a checkpoint stands for the log up to where it was written, whatever it says', async () => {
  const world = await World.of([{ seq: 0, count: 3 }, { seq: 3 }, { producer: till, seq: 0 }])
  const { topicId } = world.feed
  const positions = new Map([[feedKeyOf(world.feed), 3]])
  const spans = (await world.loaded()).newest(100).filter(({ producer }) => producer === shop)
  await world.keep(producersKey(topicId), encodeProducerCheckpoint({ positions, spans }))
  world.batchesRead = 0
  const index = await world.loaded()
  expect(world.batchesRead).toBe(2)
  expect(index.latest(shop)).toMatchObject({ nextSeq: 4 })
  expect(index.latest(till)).toMatchObject({ nextSeq: 1 })
  await world.keep(producersKey(topicId), utf8('no checkpoint'))
  expect((await world.loaded()).latest(shop)).toMatchObject({ nextSeq: 4 })
})
