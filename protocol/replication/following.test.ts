// Reading what this peer does not hold. With two replicas `orders` belongs to ash and elm; oak reads it through them. Fir
// writes it, and keeps nothing.
import { expect, test } from 'vitest'
import type { PeerId, TopicId } from '#protocol/ids'
import { NOTHING } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import type { BatchFacts, ReplicationEffect } from './inputs.ts'
import type { FeedDigest, ReplicationMessage } from './messages.ts'
import { allBuckets, ash, batch, digest, elm, epochs, feedOf, hashAt, headAt, messages, Oak, oak } from './test-oak.ts'
import { ofType, openingBatch, openingOf, orders } from './test-oak.ts'

const fir = 'fir' as PeerId
const ofFir = feedOf(fir)
const opened = openingBatch(openingOf(fir))
const firUpTo = (nextOffset: number, more: Partial<FeedDigest> = {}) => ({ ...digest(ofFir, nextOffset), ...more })

class Follower extends Oak {
  #links = 0

  constructor({ replicas = 2 } = {}) {
    super([], { replicas })
  }

  heads(from: PeerId, ...feeds: readonly FeedDigest[]) {
    return this.hear(from, { type: 'digest', feeds })
  }

  up(peer: PeerId) {
    return this.link(peer, ++this.#links, [], epochs.second)
  }

  use(waiting = false) {
    return this.tell({ type: 'topicUsed', topicId: orders, waiting })
  }

  /** Linked with elm and then ash, which both have told that they hold so much; the opening is known. */
  static of(elmHas: number, ashHas: number): Follower {
    const peer = new Follower()
    for (const [keeper, has] of [
      [elm, elmHas],
      [ash, ashHas],
    ] as const) {
      peer.up(keeper)
      peer.use()
      const [want] = messages(peer.heads(keeper, firUpTo(has)), 'want')
      if (want !== undefined) peer.answer(want, [opened])
      peer.hear(keeper, { type: 'followed', topics: [orders], more: false })
    }
    return peer
  }

  read(position: number, ref = 1) {
    return this.tell({ type: 'readRequested', ref, feed: ofFir, position, bytesMax: 1_000 })
  }

  answer(want: Sent<'want'>, batches: readonly BatchFacts[]) {
    const { to: from, message } = want
    const link = this.machine.neighbors.get(from)?.link?.number ?? 0
    return this.receive(from, ofFir, batches, { link, ref: message.ref })
  }

  get standing() {
    return this.machine.following.standing(orders)
  }

  get floors() {
    return [...this.machine.following.feeds(orders)].map(({ floor, rooted }) => ({ floor, rooted }))
  }

  /** How far each feed goes that readers are shown. */
  get shown() {
    return [...this.machine.following.feeds(orders)].map(({ head }) => head.nextOffset)
  }
}

interface Sent<T extends ReplicationMessage['type']> {
  readonly to: PeerId
  readonly message: Extract<ReplicationMessage, { type: T }>
}

const wantOf = (effects: readonly ReplicationEffect[]): Sent<'want'> => {
  const [want] = messages(effects, 'want')
  if (want === undefined) throw new Error('nobody was asked')
  return want
}
const changedTopics = (effects: readonly ReplicationEffect[]) =>
  ofType(effects, 'topicChanged').map(({ topicId }) => topicId)

test('a topic that is used is followed at all neighbors, also at those that come later, until it was not used for long', () => {
  const peer = new Follower()
  peer.up(elm)
  const follow = { type: 'follow', topics: [orders], on: true } as const
  expect(messages(peer.use(), 'follow')).toEqual([{ to: elm, message: follow }])
  expect(messages(peer.use(), 'follow')).toEqual([])
  expect(messages(peer.up(fir), 'follow')).toEqual([{ to: fir, message: follow }])
  peer.use(true)
  expect(messages(peer.sweep(600_000), 'follow')).toEqual([])
  peer.use(false)
  expect(messages(peer.sweep(59_000), 'follow')).toEqual([])
  const off = messages(peer.sweep(1_000), 'follow')
  expect(off.map(({ to, message }) => [to, message.on])).toEqual([
    [elm, false],
    [fir, false],
  ])
})

test('many topics go in messages that fit', () => {
  const peer = new Follower()
  for (let n = 0; n < limits.followTopicsPerMessageMax + 1; n++) {
    peer.tell({ type: 'topicUsed', topicId: n.toString(16).padStart(32, '0') as TopicId, waiting: false })
  }
  const sizes = messages(peer.up(elm), 'follow').map(({ message }) => message.topics.length)
  expect(sizes).toEqual([limits.followTopicsPerMessageMax, 1])
})

test('beyond their number, the topic that was not used for the longest time is let go, and none that is waited for', () => {
  const peer = new Follower()
  const topic = (n: number) => n.toString(16).padStart(32, '0') as TopicId
  const use = (n: number, waiting: boolean) => peer.tell({ type: 'topicUsed', topicId: topic(n), waiting })
  peer.up(elm)
  use(0, true)
  for (let n = 1; n < limits.followedTopicsMax; n++) use(n, false)
  use(1, false)
  const sent = messages(use(limits.followedTopicsMax, false), 'follow')
  expect(sent.filter(({ message }) => !message.on)).toMatchObject([{ message: { topics: [topic(2)] } }])
})

test('it is current once a keeper has told all, of feeds whose openings are here; isolated where none can', () => {
  const peer = new Follower()
  expect(peer.standing).toBe('isolated')
  peer.up(fir)
  peer.use()
  expect(peer.standing).toBe('isolated')
  peer.up(elm)
  expect(peer.standing).toBe('asking')
  const want = wantOf(peer.heads(elm, firUpTo(3)))
  expect(want.message).toMatchObject({ feed: ofFir, position: NOTHING, bytesMax: 1 })
  peer.hear(elm, { type: 'followed', topics: [orders], more: false })
  expect([peer.standing, peer.shown]).toEqual(['asking', []])
  expect(changedTopics(peer.answer(want, [opened]))).toEqual([orders])
  expect([peer.standing, peer.shown]).toEqual(['current', [3]])
  expect(changedTopics(peer.tell({ type: 'linkDown', peer: elm }))).toEqual([orders])
  // What is known to be there is still shown: readers are told that it waits.
  expect([peer.standing, peer.shown]).toEqual(['isolated', [3]])
})

test('a keeper that does not answer is not waited for', () => {
  const peer = new Follower()
  peer.up(elm)
  peer.use()
  peer.sweep(1_000)
  expect(peer.standing).toBe('asking')
  expect(changedTopics(peer.sweep(1_000))).toEqual([orders])
  expect(peer.standing).toBe('isolated')
})

test('the furthest head counts, and falls back with the neighbor that told it', () => {
  const peer = Follower.of(3, 5)
  expect(peer.shown).toEqual([5])
  expect(changedTopics(peer.heads(elm, firUpTo(6)))).toEqual([orders])
  peer.heads(elm, firUpTo(4))
  expect(peer.shown).toEqual([5])
  peer.up(ash)
  expect(peer.shown).toEqual([4])
})

test('our own feed is read here, also when another disk has it sooner', () => {
  const peer = Follower.of(3, 3)
  peer.heads(elm, digest(feedOf(oak), 5))
  expect(peer.shown).toEqual([3])
})

test('the highest floor that was told holds, with its hash; without one it is where the feed begins', () => {
  const peer = Follower.of(3, 3)
  expect(peer.floors).toEqual([{ floor: headAt(0), rooted: false }])
  peer.heads(elm, firUpTo(4, { floor: 2, floorHash: hashAt(2), keptFrom: 2, rooted: true }))
  peer.heads(ash, firUpTo(4))
  expect(peer.floors).toEqual([{ floor: headAt(2), rooted: true }])
})

test('a read is answered by whoever holds what is asked for', () => {
  const peer = Follower.of(3, 5)
  const want = wantOf(peer.read(4))
  expect(want).toMatchObject({ to: ash, message: { feed: ofFir, position: 4, bytesMax: 1_000 } })
  const effects = peer.answer(want, [batch(4)])
  expect(ofType(effects, 'readAnswered')).toEqual([{ type: 'readAnswered', ref: 1, received: 7, from: 0, to: 1 }])
  // Nothing is stored, so the credit is free at once.
  expect(messages(effects, 'credit')).toMatchObject([{ to: ash, message: { bytes: 100 } }])
  expect(ofType(effects, 'storeReceived')).toEqual([])
})

test('nobody is asked for what they do not keep', () => {
  const peer = Follower.of(5, 5)
  peer.heads(elm, firUpTo(5, { keptFrom: 3 }))
  expect(wantOf(peer.read(2))).toMatchObject({ to: ash })
  peer.heads(ash, firUpTo(5, { keptFrom: 4 }))
  expect(ofType(peer.read(2), 'readFailed')).toHaveLength(1)
})

test('nobody is asked for what is damaged there', () => {
  const peer = Follower.of(5, 5)
  peer.heads(elm, firUpTo(5, { holes: [{ from: 2, to: 4 }] }))
  expect([2, 3].map((position) => wantOf(peer.read(position)).to)).toEqual([ash, ash])
  peer.tell({ type: 'linkDown', peer: ash })
  expect(ofType(peer.read(3), 'readFailed')).toHaveLength(1)
  expect([1, 4].map((position) => wantOf(peer.read(position)).to)).toEqual([elm, elm])
})

test('a holder that fails or goes is passed over; a read that nobody is left for has failed, and readers try again', () => {
  const peer = Follower.of(3, 3)
  const first = wantOf(peer.read(0))
  const second = wantOf(peer.hear(first.to, { type: 'wantMissing', ref: first.message.ref }))
  expect([first.to, second.to].toSorted()).toEqual([ash, elm])
  const down = peer.tell({ type: 'linkDown', peer: second.to })
  expect(ofType(down, 'readFailed')).toEqual([{ type: 'readFailed', ref: 1 }])
  expect(changedTopics(peer.sweep(1_000))).toEqual([orders])
})

test('a slow holder is not waited for while there is another, and whoever answers first is heard', () => {
  const peer = Follower.of(3, 3)
  const slow = wantOf(peer.read(0))
  expect(messages(peer.sweep(1_000), 'want')).toEqual([])
  const quick = wantOf(peer.sweep(1_000))
  expect(quick.to).not.toBe(slow.to)
  expect(ofType(peer.answer(slow, [batch(0)]), 'readAnswered')).toHaveLength(1)
  const late = peer.answer(quick, [batch(0)])
  expect(ofType(late, 'readAnswered')).toEqual([])
  expect(messages(late, 'credit')).toHaveLength(1)
})

test('a lone holder that is silent fails the read, so that other feeds of its reader go on', () => {
  const peer = Follower.of(3, 1)
  peer.read(2)
  expect(ofType(peer.sweep(5_000), 'readFailed')).toEqual([])
  expect(ofType(peer.sweep(1_000), 'readFailed')).toHaveLength(1)
})

test('the quicker holder is asked, and both when there is more to do', () => {
  const peer = Follower.of(99, 99)
  for (let position = 0; position < 20; position++) {
    const want = wantOf(peer.read(position))
    peer.nowMs += want.to === elm ? 10 : 30
    peer.answer(want, [batch(position)])
  }
  const asked = Array.from({ length: 4 }, (_, ref) => wantOf(peer.read(20, ref)).to)
  expect(asked).toEqual([elm, elm, elm, ash])
})

test('so many reads are under way at a time; the others wait for their turn', () => {
  const peer = Follower.of(100, 100)
  const wants = Array.from({ length: limits.remoteReadsMax + 1 }, (_, n) => messages(peer.read(n, n), 'want')[0])
  expect(wants.filter((want) => want === undefined)).toHaveLength(1)
  expect(wantOf(peer.answer(wants[0] as Sent<'want'>, [batch(0)])).message.position).toBe(limits.remoteReadsMax)
})

test.each([
  ['that does not go on from the position', 1, [batch(2)]],
  ['of an opening in place of records', 0, [opened]],
  ['that ends before the position', 2, [batch(1)]],
  ['that is none', 1, []],
  ['off the chain of what was read before', 1, [{ ...batch(1), previousHash: hashAt(77) }]],
  ['off the head that its holder told', 2, [{ ...batch(2), hash: hashAt(77) }]],
])('an answer %s is as good as none', (_, position, batches) => {
  const peer = Follower.of(3, 3)
  peer.answer(wantOf(peer.read(0)), [batch(0)])
  const want = wantOf(peer.read(position, 2))
  const effects = peer.answer(want, batches)
  expect(ofType(effects, 'readAnswered')).toEqual([])
  expect(wantOf(effects).to).not.toBe(want.to)
  expect(peer.machine.anomalies.unfitAnswers).toBe(1)
})

test('of an answer as much is taken as goes on unbroken', () => {
  const peer = Follower.of(9, 9)
  const effects = peer.answer(wantOf(peer.read(2)), [batch(1), batch(2), batch(3), batch(5)])
  expect(ofType(effects, 'readAnswered')).toMatchObject([{ from: 1, to: 3 }])
})

test('a read of a topic whose keepers are being asked waits for what they tell', () => {
  const peer = new Follower()
  peer.up(elm)
  peer.use()
  expect(ofType(peer.read(2), 'readFailed')).toEqual([])
  const wants = messages(peer.heads(elm, firUpTo(3)), 'want').map(({ message }) => message.position)
  expect(wants).toEqual([2, NOTHING])
})

test('an answer that comes after its read has failed is not stored here', () => {
  const peer = new Follower()
  peer.up(elm)
  peer.use()
  const want = wantOf(peer.heads(elm, firUpTo(3)))
  peer.sweep(10_000)
  const effects = peer.answer(want, [opened])
  expect(ofType(effects, 'storeReceived')).toEqual([])
  expect(ofType(effects, 'discardReceived')).toHaveLength(1)
  expect(messages(effects, 'credit')).toMatchObject([{ message: { bytes: 100 } }])
})

test('a keeper that has caught up reads its own disk; until then it reads elsewhere what it lacks', () => {
  const peer = new Follower({ replicas: 3 })
  peer.up(elm)
  peer.use()
  const wants = messages(peer.heads(elm, firUpTo(1)), 'want')
  // One for its disk, one for its readers.
  expect(wants.map(({ message }) => message.position)).toEqual([NOTHING, NOTHING])
  for (const want of wants) peer.answer(want, [opened])
  peer.hear(elm, { type: 'followed', topics: [orders], more: false })
  expect([peer.standing, peer.shown]).toEqual(['current', [1]])
  peer.tell({ type: 'rangesStored', runs: [{ feed: ofFir, head: headAt(0) }] })
  peer.receive(elm, ofFir, [batch(0)])
  expect(messages(peer.sweep(1_000), 'follow')).toEqual([])
  peer.tell({ type: 'rangesStored', runs: [{ feed: ofFir, head: headAt(1) }] })
  expect(messages(peer.sweep(1_000), 'follow')).toMatchObject([{ to: elm, message: { on: false } }])
  peer.heads(elm, firUpTo(2))
  expect([peer.standing, peer.shown]).toEqual(['current', []])
})

test('of many feeds the other side tells page by page', () => {
  const peer = new Follower()
  peer.up(elm)
  peer.use()
  const sent = peer.hear(elm, { type: 'followed', topics: [], more: true })
  expect(ofType(sent, 'send')).toMatchObject([{ to: elm, message: { type: 'followMore' } }])
  expect(peer.standing).toBe('asking')
})

test('what a neighbor no longer lists is not shown, and what is not followed any more is forgotten', () => {
  const peer = Follower.of(3, 3)
  peer.hear(elm, { type: 'digest', feeds: [], listing: { replaced: allBuckets, more: false } })
  peer.hear(ash, { type: 'digest', feeds: [], listing: { replaced: allBuckets, more: false } })
  expect(peer.shown).toEqual([])
  peer.heads(elm, firUpTo(3))
  expect(peer.machine.neighbors.get(elm)?.heads.size).toBe(1)
  peer.sweep(60_000)
  expect(peer.machine.neighbors.get(elm)?.heads.size).toBe(0)
})

test('what is lost of a followed feed is known once everybody who belongs to the mesh has told of the topic', () => {
  const holes = [{ from: 3, to: 6 }]
  const peer = new Follower()
  const lost = () => [...peer.machine.following.feeds(orders)].map((feed) => peer.machine.following.lostFrom(feed, 0))
  peer.up(elm)
  peer.use()
  const [want] = messages(peer.heads(elm, firUpTo(10, { holes })), 'want')
  if (want !== undefined) peer.answer(want, [opened])
  peer.hear(elm, { type: 'followed', topics: [orders], more: false })
  expect(lost()).toEqual([[]])
  peer.up(ash)
  peer.heads(ash, firUpTo(4))
  expect(lost()).toEqual([[]])
  peer.hear(ash, { type: 'followed', topics: [orders], more: false })
  expect(lost()).toEqual([[]])
  expect(ofType(peer.askAround(), 'topicChanged')).toEqual([{ type: 'topicChanged', topicId: orders }])
  expect(lost()).toEqual([[{ from: 4, to: 6 }]])
  peer.heads(ash, firUpTo(7))
  expect(lost()).toEqual([[]])
})
