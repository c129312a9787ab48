// Goal: where a writer goes on after a restart. Method: a peer on a disk that holds feeds of its earlier boots.
import { describe, expect, test } from 'vitest'
import { type Epoch, type Hash, type PeerId, topicIdOf } from '#protocol/ids'
import { feedKeyOf, type FeedId, type Opening } from '#protocol/log/feed'
import { pureDigests } from '#protocol/log/pure-digests'
import { membershipProfiles } from '#protocol/membership/config'
import { Membership } from '#protocol/membership/membership'
import { SeededRandom } from '#protocol/random'
import type { BatchFacts, OpenedFeed } from '#protocol/replication/inputs'
import { Replication } from '#protocol/replication/replication'
import type { TopicName } from '#protocol/topic-name'
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
  return { feed: feedOf(boot), opening, head: headAt(nextOffset), keptFrom: link?.from ?? 0, hlcMs: 1_000 * boot }
}

function oakWith(feeds: readonly OpenedFeed[]): Peer {
  const facts = { name: 'oak', addresses: ['oak:7400'], http: 'http://oak:8400', zone: '', counter: 0 }
  const options = { facts, registry: [], seeds: [], random: new SeededRandom(1), config: membershipProfiles.lan }
  const epoch = epochOf(9)
  const peer = new Peer({
    self: oak,
    epoch,
    cluster,
    digests: pureDigests,
    membership: new Membership({ self: oak, ...options }),
    replication: new Replication({ self: oak, epoch, feeds }),
  })
  peer.handle({ type: 'started' }, 0)
  return peer
}

/** The boot that oak's new feed of orders goes on from, and the offset where it does. */
function predecessorOf(peer: Peer): readonly [epoch: Epoch, nextOffset: number] | undefined {
  const part = { ref: 1, count: 1, sizeBytes: 100 }
  const effects = peer.handle(
    { type: 'publishRequested', topic: orders, level: { type: 'local' }, waitMs: 0, parts: [part] },
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
