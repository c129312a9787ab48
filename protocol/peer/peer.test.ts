// Goal: where a writer goes on after a restart. Method: a peer on a disk that holds feeds of its earlier boots.
import { describe, expect, test } from 'vitest'
import { type Epoch, type Hash, type PeerId, topicIdOf } from '#protocol/ids'
import { feedKeyOf, type FeedId, type Opening } from '#protocol/log/feed'
import { pureDigests } from '#protocol/log/pure-digests'
import { membershipProfiles } from '#protocol/membership/config'
import { Membership } from '#protocol/membership/membership'
import { SeededRandom } from '#protocol/random'
import type { BatchFacts, OpenedFeed } from '#protocol/replication/inputs'
import { replicationDefaults } from '#protocol/replication/config'
import { Replication } from '#protocol/replication/replication'
import type { TopicName } from '#protocol/topic-name'
import { Remains } from '#protocol/topics/remains'
import { Topics } from '#protocol/topics/topics'
import type { PeerEffect } from './inputs.ts'
import { Peer } from './peer.ts'

const oak = 'oak' as PeerId
const elm = 'elm' as PeerId
const orders = 'orders' as TopicName
const cluster = 'test'
const topicId = topicIdOf(pureDigests, { cluster, name: orders, generation: 0 })
const epochOf = (boot: number): Epoch => `${boot}`.repeat(16) as Epoch
const feedOf = (boot: number): FeedId => ({ topicId, writer: oak, epoch: epochOf(boot) })
const headAt = (nextOffset: number) => ({ nextOffset, hash: `${nextOffset}`.repeat(64) as Hash })

/** A feed of an earlier boot, which went on from the feed `after` at the offset `from`. */
function opened(
  boot: number,
  nextOffset: number,
  link?: { readonly after: number; readonly from: number },
): OpenedFeed {
  const predecessor = link && { epoch: epochOf(link.after), ...headAt(link.from) }
  const opening: Opening = {
    topic: orders,
    generation: 0,
    writer: oak,
    epoch: epochOf(boot),
    ...(predecessor && { predecessor }),
  }
  const base = link?.from ?? 0
  const whole = { floor: headAt(base), keptFrom: base, holes: [], rooted: false }
  return { feed: feedOf(boot), opening, head: headAt(nextOffset), ...whole, hlcMs: 1_000 * boot }
}

function oakWith(feeds: readonly OpenedFeed[], boots: readonly Epoch[] = []): Peer {
  const facts = { name: 'oak', addresses: ['oak:7400'], http: 'http://oak:8400', zone: '', counter: 0 }
  const options = { facts, registry: [], seeds: [], random: new SeededRandom(1), config: membershipProfiles.lan }
  const epoch = epochOf(9)
  const peer = new Peer({
    self: oak,
    epoch,
    boots,
    cluster,
    partitions: { togetherMs: 1_000, settleMs: 1_000 },
    checkpointEvery: 1_000,
    digests: pureDigests,
    membership: new Membership({ self: oak, ...options }),
    replication: new Replication({ self: oak, epoch, feeds, config: replicationDefaults }),
    remains: new Remains(1_000, []),
    topics: new Topics({ self: oak, epoch, digests: pureDigests, states: [], ownStates: 0, compactAfter: 1_024 }),
  })
  peer.handle({ type: 'started' }, 0)
  return peer
}

/** The boot that oak's new feed of orders goes on from, and the offset where it does. */
function predecessorOf(peer: Peer): readonly [epoch: Epoch, nextOffset: number] | undefined {
  const part = { ref: 1, count: 1, sizeBytes: 100, producerRanges: [] }
  const effects = peer.handle(
    { type: 'publishRequested', topic: orders, level: { type: 'local' }, waitMs: 0, hlcMs: 0, parts: [part] },
    0,
  )
  const made = effects.find((effect) => effect.type === 'makeBatch')
  const link = made?.opening?.predecessor
  return link && [link.epoch, link.nextOffset]
}

describe('a new feed goes on from', () => {
  test('nothing on a new disk', () => {
    expect(predecessorOf(oakWith([]))).toBeUndefined()
  })

  test('the last of a chain', () => {
    const chain = [opened(2, 7, { after: 1, from: 5 }), opened(1, 5)]
    expect(predecessorOf(oakWith(chain))).toEqual([epochOf(2), 7])
  })

  test('the newest of several, however short: a longer one came back from a neighbor after a crash', () => {
    expect(predecessorOf(oakWith([opened(1, 5), opened(2, 1)]))).toEqual([epochOf(2), 1])
    expect(predecessorOf(oakWith([opened(2, 1), opened(1, 5)]))).toEqual([epochOf(2), 1])
  })

  test('the last boot that its disk has noted, whatever the times: they stand still after a clock was set back', () => {
    const boots = [epochOf(1), epochOf(2)]
    const older = { ...opened(1, 5), hlcMs: 9_000 }
    const given = { ...opened(3, 7), hlcMs: 9_000 }
    expect(predecessorOf(oakWith([older, opened(2, 1), given], boots))).toEqual([epochOf(2), 1])
    expect(predecessorOf(oakWith([given, older], boots))).toEqual([epochOf(1), 5])
  })

  test('what goes on from that boot, although its disk has not noted it', () => {
    const branches = [opened(1, 5), opened(2, 6), opened(3, 7, { after: 2, from: 6 })]
    expect(predecessorOf(oakWith(branches, [epochOf(1), epochOf(2)]))).toEqual([epochOf(3), 7])
  })

  test('the end of that boot, not a branch below it: a clone did not see what was acked since', () => {
    const branches = [opened(1, 12), opened(3, 9, { after: 1, from: 5 })]
    expect(predecessorOf(oakWith(branches, [epochOf(1)]))).toEqual([epochOf(1), 12])
  })

  test('what is on disk: an opening that a neighbor gives back may not be yet', () => {
    const peer = oakWith([opened(1, 5)])
    peer.handle({ type: 'linkUp', link: 1, peer: elm }, 0)
    const { feed, opening } = opened(2, 5, { after: 1, from: 5 })
    const { hash } = headAt(5)
    const facts: BatchFacts = {
      baseOffset: 5,
      nextOffset: 5,
      previousHash: hash,
      hash,
      sizeBytes: 100,
      hlcMs: 2_000,
      opening,
    }
    peer.handle({ type: 'rangeReceived', link: 1, received: 1, ref: 0, feed, batches: [facts] }, 0)
    expect(peer.replication.local.get(feedKeyOf(feed))?.appended.nextOffset).toBe(5)
    expect(predecessorOf(peer)).toEqual([epochOf(1), 5])
  })
})

test('with a full disk publishes are refused until there is room; what the mesh says of its topics is not', () => {
  const peer = oakWith([])
  const part = { ref: 1, count: 1, sizeBytes: 100, producerRanges: [] }
  const request = { type: 'publishRequested', level: { type: 'local' }, waitMs: 0, hlcMs: 0, parts: [part] } as const
  const codes = (topic: TopicName, full: boolean) => {
    peer.handle({ type: 'diskChanged', full }, 0)
    const effects = peer.handle({ ...request, topic }, 0)
    return effects.flatMap((effect) => (effect.type === 'publishRefused' ? [effect.code] : []))
  }
  expect(codes(orders, true)).toEqual(['DISK_FULL'])
  expect(codes('$topics' as TopicName, true)).toEqual([])
  expect(codes(orders, false)).toEqual([])
})

describe('a peer that is decommissioned', () => {
  const part = { ref: 1, count: 1, sizeBytes: 100, producerRanges: [] }
  const publish = { type: 'publishRequested', topic: orders, level: { type: 'local' }, waitMs: 0, hlcMs: 0 } as const
  const refusals = (effects: readonly PeerEffect[]) =>
    effects.flatMap((effect) => ('code' in effect ? [[effect.type, effect.code]] : []))
  const edit = (type: 'decommission' | 'admit') =>
    ({ type: 'registryEdited', ref: 2, edit: { type, peer: oak } }) as const
  const sweep = { type: 'timerFired', timer: { machine: 'replication', timer: { type: 'sweep' } } } as const

  /** Oak of a mesh with elm. */
  function oakAndElm(feeds: readonly OpenedFeed[]): Peer {
    const peer = oakWith(feeds)
    peer.handle({ type: 'linkUp', link: 1, peer: elm }, 0)
    const facts = { name: 'elm', addresses: ['elm:7400'], http: '', zone: '', counter: 0 }
    const update = { peer: elm, state: 'alive', incarnation: 1, by: elm, reason: 'started', facts } as const
    peer.handle({ type: 'messageReceived', link: 1, message: { type: 'gossip', updates: [update] } }, 0)
    return peer
  }

  test('takes no publish and no edit any more, is forgotten once nothing is left, and takes all when it is admitted', () => {
    const peer = oakAndElm([])
    peer.handle(edit('decommission'), 0)
    const change = { type: 'put', asked: {}, atMs: 1 } as const
    const asked = [
      ...peer.handle({ ...publish, parts: [part] }, 0),
      ...peer.handle({ type: 'topicEdited', ref: 3, topic: orders, edit: change }, 0),
    ]
    expect(refusals(asked)).toEqual([
      ['publishRefused', 'DECOMMISSIONED'],
      ['topicRefused', 'DECOMMISSIONED'],
    ])
    const done = peer.handle(sweep, 1_000)
    expect(done.find(({ type }) => type === 'statusChanged')).toMatchObject({
      peer: oak,
      status: { type: 'forgotten' },
    })
    expect(refusals(peer.handle({ ...publish, parts: [part] }, 0))).toEqual([['publishRefused', 'FORGOTTEN']])
    peer.handle(edit('admit'), 2_000)
    expect(refusals(peer.handle({ ...publish, parts: [part] }, 0))).toEqual([])
  })

  test('goes on leaving while others lack what is on its disk, or on its way there', () => {
    const full = oakAndElm([opened(1, 5)])
    full.handle(edit('decommission'), 0)
    full.handle(sweep, 1_000)
    expect(full.membership.statusOf(oak)?.type).toBe('leaving')
    expect(full.leftToHandOver()).toEqual({ feeds: 1, records: 5, waitsFor: [elm] })
    const writing = oakAndElm([])
    writing.handle({ ...publish, parts: [part] }, 0)
    writing.handle(edit('decommission'), 0)
    writing.handle(sweep, 1_000)
    expect(writing.membership.statusOf(oak)?.type).toBe('leaving')
  })
})
