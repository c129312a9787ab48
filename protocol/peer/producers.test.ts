// Goal: a retry is taken once, whoever has its original. Method: the peer machine of oak, whose disk and log are played here:
// it is told what it made, what is stored, and what a search of the log brought.
import { describe, expect, test } from 'vitest'
import type { Epoch, PeerId } from '#protocol/ids'
import { topicIdOf } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { type FeedId, feedKeyOf, type Opening } from '#protocol/log/feed'
import type { IndexedRange, ProducerId } from '#protocol/log/producer-index'
import { pureDigests } from '#protocol/log/pure-digests'
import { membershipProfiles } from '#protocol/membership/config'
import { Membership } from '#protocol/membership/membership'
import { SeededRandom } from '#protocol/random'
import { replicationDefaults } from '#protocol/replication/config'
import type { BatchFacts, OpenedFeed } from '#protocol/replication/inputs'
import { Replication } from '#protocol/replication/replication'
import type { TopicName } from '#protocol/topic-name'
import { Remains } from '#protocol/topics/remains'
import { Topics } from '#protocol/topics/topics'
import type { Original, PeerEffect, PeerInput } from './inputs.ts'
import { Peer } from './peer.ts'

const [oak, elm] = ['oak', 'elm'] as PeerId[] as [PeerId, PeerId]
const orders = 'orders' as TopicName
const cluster = 'test'
const topicId = topicIdOf(pureDigests, { cluster, name: orders, generation: 0 })
const epoch = '0000000000000009' as Epoch
const feedOf = (writer: PeerId): FeedId => ({ topicId, writer, epoch })
const hashAt = (offset: number) => offset.toString(16).padStart(64, '0') as never
const headAt = (nextOffset: number) => ({ nextOffset, hash: hashAt(nextOffset) })
const openingOf = (writer: PeerId): Opening => ({ topic: orders, generation: 0, writer, epoch })

const shop = 'aa'.repeat(16) as ProducerId
const range = (firstSeq: number, count = 1, more: Partial<IndexedRange> = {}): IndexedRange => {
  return { producer: shop, epoch: 0, firstSeq, count, firstIndex: 0, ...more }
}

type EffectOf<Type extends PeerEffect['type']> = Extract<PeerEffect, { type: Type }>

class OakPeer {
  readonly peer: Peer
  readonly effects: PeerEffect[] = []
  /** Records of each part. */
  readonly #counts = new Map<number, number>()
  #lastRef = 0

  constructor(feeds: readonly OpenedFeed[] = []) {
    const facts = { name: 'oak', addresses: ['oak:7400'], http: 'http://oak:8400', zone: '', counter: 0 }
    const options = { facts, registry: [], seeds: [], random: new SeededRandom(1), config: membershipProfiles.lan }
    this.peer = new Peer({
      self: oak,
      epoch,
      boots: [],
      cluster,
      partitions: { togetherMs: 1_000, settleMs: 1_000 },
      checkpointEvery: 16_384,
      digests: pureDigests,
      membership: new Membership({ self: oak, ...options }),
      replication: new Replication({ self: oak, epoch, feeds, config: replicationDefaults }),
      topics: new Topics({ self: oak, epoch, digests: pureDigests, states: [], ownStates: 0, compactAfter: 1_024 }),
      remains: new Remains(1_000, []),
    })
    this.tell({ type: 'started' })
  }

  tell(input: PeerInput): void {
    for (const effect of this.peer.handle(input, 0)) {
      this.effects.push(effect)
      if (effect.type === 'makeBatch') this.#make(effect)
    }
  }

  /** One part with these records; returns its ref. */
  publish(...ranges: readonly IndexedRange[]): number {
    const ref = ++this.#lastRef
    const count = Math.max(1, ...ranges.map((each) => each.firstIndex + each.count))
    this.#counts.set(ref, count)
    const part = { ref, count, sizeBytes: 100, producerRanges: ranges }
    const request = { topic: orders, level: { type: 'local' as const }, waitMs: 0, hlcMs: 1 }
    this.tell({ type: 'publishRequested', ...request, parts: [part] })
    return ref
  }

  /** All that was made is on disk. */
  store(): void {
    const known = this.peer.replication.local.get(feedKeyOf(feedOf(oak)))
    if (known !== undefined) this.tell({ type: 'rangesStored', runs: [{ feed: feedOf(oak), head: known.appended }] })
  }

  found(lookup: number, ...originals: readonly Original[]): void {
    this.tell({ type: 'originalsFound', lookup, originals })
  }

  /** Elm sends a batch of its feed with these records, at offset 0. */
  receive(...ranges: readonly IndexedRange[]): void {
    const count = ranges.reduce((sum, each) => sum + each.count, 0)
    const common = { sizeBytes: 100, hlcMs: 1 }
    const opening: BatchFacts = {
      ...common,
      baseOffset: 0,
      nextOffset: 0,
      previousHash: hashAt(999),
      hash: hashAt(0),
      opening: openingOf(elm),
    }
    const batch: BatchFacts = {
      ...common,
      baseOffset: 0,
      nextOffset: count,
      previousHash: hashAt(0),
      hash: hashAt(count),
      producerRanges: ranges,
    }
    this.tell({ type: 'linkUp', link: 1, peer: elm })
    this.tell({ type: 'rangeReceived', link: 1, received: 1, ref: 0, feed: feedOf(elm), batches: [opening, batch] })
    this.tell({ type: 'rangesStored', runs: [{ feed: feedOf(elm), head: headAt(count) }] })
  }

  of<Type extends PeerEffect['type']>(type: Type): EffectOf<Type>[] {
    return this.effects.filter((effect): effect is EffectOf<Type> => effect.type === type)
  }

  /** `feed@offset+count` of each run of the part, or why it was refused. */
  answerTo(ref: number): string | undefined {
    const refused = this.of('publishRefused').find((effect) => effect.ref === ref)
    const settled = this.of('publishSettled').find(({ placed }) => placed.ref === ref)
    const runs = settled?.placed.runs.map(({ feed, firstOffset, count }) => `${feed.writer}@${firstOffset}+${count}`)
    return refused?.code ?? runs?.join(' ')
  }

  #make({ feed, parts, baseOffset }: EffectOf<'makeBatch'>): void {
    const counts = parts.map(
      ({ ref, pieces }) => pieces?.reduce((sum, { count }) => sum + count, 0) ?? this.#counts.get(ref),
    )
    const end = counts.reduce<number>((sum, count) => sum + (count ?? 0), baseOffset)
    this.tell({ type: 'batchMade', feed, head: headAt(end), sizeBytes: 100, hlcMs: 1 })
  }
}

const originalAt = (writer: PeerId, ref: number, firstOffset: number, count = 1, firstIndex = 0): Original => {
  return { ref, firstIndex, count, feed: feedOf(writer), firstOffset }
}

describe('a record', () => {
  test('that is not known is taken at once', () => {
    const world = new OakPeer()
    const ref = world.publish(range(0))
    world.store()
    expect(world.answerTo(ref)).toBe('oak@0+1')
    expect(world.of('findOriginals')).toEqual([])
  })

  test('that was taken here is looked for, and answered with its original', () => {
    const world = new OakPeer()
    world.publish(range(0, 3))
    world.store()
    const retry = world.publish(range(0, 3))
    expect(world.answerTo(retry)).toBeUndefined()
    expect(world.of('findOriginals')[0]?.ranges[0]?.places).toMatchObject([{ firstOffset: 0, lastOffset: 2 }])
    world.found(1, originalAt(oak, retry, 0, 3))
    expect(world.answerTo(retry)).toBe('oak@0+3')
    expect(world.of('makeBatch')).toHaveLength(2)
  })

  test('that was taken here and waits for its batch is looked for, too', () => {
    const world = new OakPeer()
    world.publish(range(0))
    world.publish(range(1))
    world.publish(range(1))
    expect(world.of('findOriginals')[0]?.ranges[0]?.places).toMatchObject([{ firstOffset: 1, lastOffset: 1 }])
  })

  test('that came here from another peer is answered with that one’s, and opens no feed of ours', () => {
    const world = new OakPeer()
    world.publish(range(7, 1, { producer: 'bb'.repeat(16) as ProducerId }))
    world.receive(range(0, 2))
    const retry = world.publish(range(1))
    world.found(1, originalAt(elm, retry, 1))
    expect(world.answerTo(retry)).toBe('elm@1+1')
  })

  test('that is not where the index has it is taken as new', () => {
    const world = new OakPeer()
    world.publish(range(0))
    world.store()
    const retry = world.publish(range(0))
    world.found(1)
    world.store()
    expect(world.answerTo(retry)).toBe('oak@1+1')
  })

  test('that differs from the one in the log is refused', () => {
    const world = new OakPeer()
    world.publish(range(0))
    world.store()
    const retry = world.publish(range(0))
    world.tell({ type: 'originalsFound', lookup: 1, originals: [], differs: 'another' })
    expect(world.answerTo(retry)).toBe('RETRY_DIFFERS')
    expect(world.peer.pending.unsyncedPublishes).toBe(0)
  })
})

test('of a request that is known in part the rest is added, in its order', () => {
  const world = new OakPeer()
  world.publish(range(2, 2))
  world.store()
  const retry = world.publish(range(0, 6))
  world.found(1, originalAt(oak, retry, 0, 2, 2))
  expect(world.of('makeBatch').at(-1)?.parts).toEqual([
    {
      ref: retry,
      pieces: [
        { firstIndex: 0, count: 2 },
        { firstIndex: 4, count: 2 },
      ],
    },
  ])
  world.store()
  expect(world.answerTo(retry)).toBe('oak@2+2 oak@0+2 oak@4+2')
  const again = world.publish(range(5))
  // Others lie between 3 at offset 1 and 4 at offset 4, so a window is known.
  expect(world.of('findOriginals').at(-1)?.ranges[0]?.places).toMatchObject([{ firstOffset: 3, lastOffset: 5 }])
  world.found(2, originalAt(oak, again, 5))
  expect(world.answerTo(again)).toBe('oak@5+1')
})

test('requests of one producer are taken in turn, those of others meanwhile', () => {
  const world = new OakPeer()
  const other = 'bb'.repeat(16) as ProducerId
  world.publish(range(0))
  world.store()
  const retry = world.publish(range(0))
  const next = world.publish(range(1))
  const both = world.publish(range(2), range(0, 1, { producer: other, firstIndex: 1 }))
  const behindBoth = world.publish(range(1, 1, { producer: other }))
  const free = world.publish(range(0, 1, { producer: 'cc'.repeat(16) as ProducerId }))
  world.store()
  expect([next, both, behindBoth, free].map((ref) => world.answerTo(ref))).toEqual([
    undefined,
    undefined,
    undefined,
    'oak@1+1',
  ])
  world.found(1, originalAt(oak, retry, 0))
  for (let i = 0; i < 3; i++) world.store()
  expect([next, both, behindBoth].map((ref) => world.answerTo(ref))).toEqual(['oak@2+1', 'oak@3+2', 'oak@5+1'])
})

test('thousands that wait for one are taken, one after the other', () => {
  const world = new OakPeer()
  world.publish(range(0))
  world.store()
  const retry = world.publish(range(0))
  const rest = Array.from({ length: 10_000 }, (_, i) => world.publish(range(i + 1)))
  world.found(1, originalAt(oak, retry, 0))
  world.store()
  world.store()
  expect(world.answerTo(rest.at(-1) as number)).toBe('oak@10000+1')
})

describe('who may publish', () => {
  test('an epoch that is over may not; what it has stored is answered all the same', () => {
    const world = new OakPeer()
    world.publish(range(0))
    world.publish(range(0, 1, { epoch: 1 }))
    world.store()
    expect(world.answerTo(world.publish(range(1)))).toBe('PRODUCER_FENCED')
    const retry = world.publish(range(0))
    world.found(1, originalAt(oak, retry, 0))
    expect(world.answerTo(retry)).toBe('oak@0+1')
  })

  test('an epoch that is over may not, either, with records that are known from others and not here', () => {
    const world = new OakPeer()
    world.publish(range(0, 1, { epoch: 1 }))
    world.store()
    const place = { feed: feedKeyOf(feedOf(elm)), firstOffset: 3, lastOffset: 3, hlcMs: 1 }
    world.tell({ type: 'producersRead', topicId, spans: [{ ...range(0), ...place }] })
    expect(world.answerTo(world.publish(range(0)))).toBe('PRODUCER_FENCED')
  })

  test('nor with records that the index knows and the log has not any more (seed 505)', () => {
    const world = new OakPeer()
    world.publish(range(0))
    world.publish(range(0, 1, { epoch: 1 }))
    world.store()
    const retry = world.publish(range(0))
    world.found(1)
    expect(world.answerTo(retry)).toBe('PRODUCER_FENCED')
  })

  test('a number that leaves one out may not, if this peer took the one before', () => {
    const world = new OakPeer()
    world.publish(range(0))
    expect(world.answerTo(world.publish(range(2)))).toBe('PRODUCER_GAP')
    expect(world.answerTo(world.publish(range(1), range(3, 1, { firstIndex: 1 })))).toBe('PRODUCER_GAP')
    world.store()
    const next = world.publish(range(1))
    world.store()
    expect(world.answerTo(next)).toBe('oak@1+1')
  })

  test('else it may: another peer may have taken what is missing', () => {
    const world = new OakPeer()
    world.publish(range(0, 1, { producer: 'bb'.repeat(16) as ProducerId }))
    world.receive(range(0, 2))
    const next = world.publish(range(5))
    for (let i = 0; i < 3; i++) world.store()
    expect(world.answerTo(next)).toBe('oak@1+1')
    expect(world.peer.producers.figures).toMatchObject({ gaps: 1, refusedGaps: 0 })
  })

  test('within a request nobody else can have taken it', () => {
    const world = new OakPeer()
    world.publish(range(0, 1, { producer: 'bb'.repeat(16) as ProducerId }))
    world.receive(range(0, 2))
    expect(world.answerTo(world.publish(range(2), range(4, 1, { firstIndex: 1 })))).toBe('PRODUCER_GAP')
  })
})

describe('after a start', () => {
  const stored: OpenedFeed = {
    feed: feedOf(elm),
    opening: openingOf(elm),
    head: headAt(50),
    floor: headAt(0),
    keptFrom: 0,
    holes: [],
    rooted: false,
    hlcMs: 1,
  }

  test('a publish with a producer waits until what is stored has been read; others do not', () => {
    const world = new OakPeer([stored])
    const first = world.publish(range(7))
    const plain = world.publish()
    expect(world.of('loadProducers')).toEqual([
      { type: 'loadProducers', topicId, feeds: [{ feed: feedOf(elm), endOffset: 50 }] },
    ])
    world.store()
    world.store()
    expect([first, plain].map((ref) => world.answerTo(ref))).toEqual([undefined, 'oak@0+1'])
    const span = { ...range(7), feed: feedKeyOf(feedOf(elm)), firstOffset: 3, lastOffset: 3, hlcMs: 1 }
    world.tell({ type: 'producersRead', topicId, spans: [span] })
    world.tell({ type: 'producersLoaded', topicId })
    world.found(1, originalAt(elm, first, 3))
    expect(world.answerTo(first)).toBe('elm@3+1')
  })

  test('what is appended while it is read is known as well', () => {
    const world = new OakPeer([stored])
    world.publish(range(0))
    world.tell({ type: 'producersLoaded', topicId })
    world.publish(range(0))
    expect(world.of('findOriginals')).toHaveLength(1)
  })

  test('what was damaged meanwhile is read once it is repaired, and waited for', () => {
    const world = new OakPeer([stored])
    world.publish(range(0))
    world.tell({ type: 'producersLoaded', topicId })
    world.peer.producerIndexes.repaired(feedOf(elm), { from: 10, to: 20 })
    const ref = world.publish(range(1))
    expect(world.of('loadProducers').at(-1)?.feeds).toEqual([{ feed: feedOf(elm), from: 10, endOffset: 20 }])
    world.store()
    world.store()
    expect(world.answerTo(ref)).toBeUndefined()
    world.tell({ type: 'producersLoaded', topicId })
    world.store()
    expect(world.answerTo(ref)).toBe('oak@1+1')
  })

  test('places beyond what is stored are not looked at: a crash took them', () => {
    const world = new OakPeer([stored])
    const ref = world.publish(range(7))
    const span = { ...range(7), feed: feedKeyOf(feedOf(elm)), firstOffset: 50, lastOffset: 50, hlcMs: 1 }
    world.tell({ type: 'producersRead', topicId, spans: [span] })
    world.tell({ type: 'producersLoaded', topicId })
    world.store()
    world.store()
    expect(world.answerTo(ref)).toBe('oak@0+1')
  })
})

test('a checkpoint is written now and then, one at a time', () => {
  const world = new OakPeer()
  world.publish(range(0))
  const spans = Array.from({ length: 40_000 }, (_, i) => {
    const producer = i.toString(16).padStart(32, '0') as ProducerId
    return { ...range(0, 1, { producer }), feed: feedKeyOf(feedOf(oak)), firstOffset: i, lastOffset: i, hlcMs: i }
  })
  for (const some of [spans.slice(0, 20_000), spans.slice(20_000)])
    world.tell({ type: 'producersRead', topicId, spans: some })
  const [checkpoint, ...more] = world.of('keepProducers')
  expect(more).toEqual([])
  expect(checkpoint?.checkpoint.spans).toHaveLength(limits.producerCheckpointSpansMax)
  expect(checkpoint?.checkpoint.positions).toEqual(new Map([[feedKeyOf(feedOf(oak)), 1]]))
  world.tell({ type: 'producersKept', topicId })
  expect(world.of('keepProducers')).toHaveLength(2)
})
