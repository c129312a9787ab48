// What readers read from: the disk of this peer, and for what it does not hold those of others.
import { expect, test } from 'vitest'
import type { TopicId } from '#protocol/ids'
import { feedKeyOf, type Head, NOTHING } from '#protocol/log/feed'
import { type OffsetRanges, within } from '#protocol/log/offset-ranges'
import { ProducerIndex } from '#protocol/log/producer-index'
import type { ShownFeed, Standing } from '#protocol/replication/following'
import { SampleFeed } from '#storage/sample-feed'
import type { Clock } from './driver-ports.ts'
import { type HeldFeeds, TopicSource, type TopicSourceDeps } from './topic-source.ts'

const oak = new SampleFeed()
const [first, ...later] = [oak.open(), oak.batch('a'), oak.batch('b'), oak.batch('c')]
const { topicId } = oak.id
const headAt = (offset: number): Head => (offset === 0 ? first : later[offset - 1])?.head as Head
const bytesFrom = (position: number) => later.slice(position).map(({ bytes }) => bytes)

interface World {
  /** How far this peer and others hold the feed; 0 is its opening alone. */
  readonly held?: number
  readonly floor?: number
  readonly keptFrom?: number
  readonly holes?: OffsetRanges
  readonly told?: number
  readonly toldFloor?: number
  /** Of what is told. */
  readonly lost?: OffsetRanges
  /** As a read will show. */
  readonly damaged?: boolean
}

function sourceOf({
  held,
  floor = 0,
  keptFrom = 0,
  holes = [],
  told,
  toldFloor = 0,
  lost = [],
  damaged = false,
}: World) {
  const listeners = new Set<() => void>()
  const uses: boolean[] = []
  const timers: (() => void)[] = []
  let standing: Standing = 'current'
  const { opening, id: feed } = oak
  const holding: HeldFeeds = {
    feeds: () => {
      const kept = { floor: headAt(floor), lost: [], rooted: false }
      return held === undefined ? [] : [{ feed, opening, head: headAt(held), ...kept }]
    },
    read: async (_, position) => ({ batches: damaged ? [] : bytesFrom(position).slice(0, (held ?? 0) - position) }),
    onAdvance: (_, listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    advances: () => 0,
  }
  const key = feedKeyOf(feed)
  const head = { feed, floor: 0, keptFrom: 0, ...headAt(told ?? 0) }
  const followed = { feed, key, opening, head, floor: headAt(toldFloor), rooted: false } as ShownFeed
  const local = held === undefined ? undefined : { durable: headAt(held), keptFrom, holes }
  const replication = {
    local: { get: () => local },
    following: {
      feeds: () => (told === undefined ? [] : [followed]),
      lostFrom: (_: unknown, from: number) => within(lost, { from, to: Infinity }),
      standing: () => standing,
      isUseNews: (_: TopicId, waiting: boolean) => uses.at(-1) !== waiting,
    },
  } as unknown as TopicSourceDeps['replication']
  const source = new TopicSource({
    held: holding,
    remote: { read: async (_, position) => (told === undefined ? [] : bytesFrom(position)) },
    replication,
    producers: { of: async () => new ProducerIndex(), read: () => {} },
    clock: { nowMs: () => 0, wallMs: () => 0, after: (_, run) => void timers.push(run) } satisfies Clock,
    use: (_, waiting) => void uses.push(waiting),
  })
  const stand = (now: Standing): void => {
    standing = now
    for (const listener of listeners) listener()
  }
  return { source, uses, listeners, stand, timers }
}

const endsOf = (world: World) =>
  sourceOf(world)
    .source.feeds(topicId)
    .map(({ floor, head }) => [floor.nextOffset, head.nextOffset])

test('a feed goes as far as anybody holds it, from the highest floor that anybody knows', () => {
  expect(endsOf({})).toEqual([])
  expect(endsOf({ held: 1 })).toEqual([[0, 1]])
  expect(endsOf({ told: 2 })).toEqual([[0, 2]])
  expect(endsOf({ held: 1, told: 2 })).toEqual([[0, 2]])
  expect(endsOf({ held: 3, keptFrom: 2, told: 2, toldFloor: 1 })).toEqual([[1, 3]])
})

test('of what is not held, what others say is lost is lost', () => {
  const lostOf = (world: World) => sourceOf(world).source.feeds(topicId)[0]?.lost
  expect(lostOf({ told: 3, lost: [{ from: 1, to: 2 }] })).toEqual([{ from: 1, to: 2 }])
  expect(lostOf({ held: 1, told: 3, lost: [{ from: 0, to: 2 }] })).toEqual([{ from: 1, to: 2 }])
})

test('what is held here is read here; what lies beyond, below, or is damaged is read elsewhere', async () => {
  const countOf = async (world: World, position: number) =>
    (await sourceOf(world).source.read(oak.id, position, 1_000)).batches.length
  const held = { held: 2, told: 3 }
  expect(await countOf(held, 0)).toBe(2)
  expect(await countOf(held, 2)).toBe(1)
  expect(await countOf({ ...held, keptFrom: 1 }, 0)).toBe(3)
  expect(await countOf({ ...held, holes: [{ from: 0, to: 1 }] }, 0)).toBe(3)
  expect(await countOf({ ...held, damaged: true }, 0)).toBe(3)
  expect(await countOf({ told: 3 }, 0)).toBe(3)
})

test('the opening of a feed that is held here is read here, though nobody else is there', async () => {
  const { source } = sourceOf({ held: 3, keptFrom: 2 })
  expect((await source.read(oak.id, NOTHING, 1)).batches).not.toEqual([])
})

test('what nobody has is damaged up to where it goes on', async () => {
  const damagedOf = async (world: World, position: number) =>
    (await sourceOf(world).source.read(oak.id, position, 1_000)).damaged
  expect(await damagedOf({ held: 3, keptFrom: 2 }, 1)).toEqual({ from: 1, to: 2 })
  expect(await damagedOf({ held: 3, keptFrom: 2 }, 2)).toBeUndefined()
  expect(await damagedOf({ held: 3, keptFrom: 2, told: 3 }, 1)).toBeUndefined()
  // A copy of a record may lie behind it. (Simulator, seed 4602.)
  const holes = [{ from: 0, to: 2 }]
  expect(await damagedOf({ held: 3, holes }, 1)).toEqual({ from: 1, to: 2 })
  expect(await damagedOf({ held: 3, holes, told: 3 }, 1)).toBeUndefined()
})

test('a topic is used by whoever looks at it, and all the time by whoever waits for it', () => {
  const { source, uses, listeners } = sourceOf({})
  source.feeds(topicId)
  source.feeds(topicId)
  expect(uses).toEqual([false])
  const ends = [source.onAdvance(topicId, () => {}), source.onAdvance(topicId, () => {})]
  expect(uses).toEqual([false, true])
  for (const end of ends) {
    end()
    end()
  }
  expect([uses, listeners.size]).toEqual([[false, true, false], 0])
})

test('who asks for a topic waits until keepers have told of it, or not for long', async () => {
  const { source, stand, timers, listeners } = sourceOf({})
  expect(await source.settled(topicId)).toBe('current')
  stand('asking')
  const told = source.settled(topicId)
  stand('isolated')
  expect(await told).toBe('isolated')
  stand('asking')
  const silent = source.settled(topicId)
  for (const run of timers) run()
  expect(await silent).toBe('asking')
  expect(listeners.size).toBe(0)
})
