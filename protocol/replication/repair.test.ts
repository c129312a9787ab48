// Damage and its repair: oak holds feeds of fir, of which some batches turn out to be damaged; elm and ash hold them, too.
import { expect, test } from 'vitest'
import type { Hash, PeerId } from '#protocol/ids'
import { type FeedId, feedKeyOf, type OffsetRange } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import type { BatchFacts } from './inputs.ts'
import type { FeedDigest } from './messages.ts'
import {
  ash,
  batch,
  changesOf,
  digest,
  digestDue,
  elm,
  feedOf,
  hashAt,
  headAt,
  messages,
  Oak,
  oak,
  ofType,
  openedFeed,
  range,
  settledOf,
} from './test-oak.ts'

const ofFir = feedOf('fir' as PeerId)
const batches = (from: number, to: number): BatchFacts[] =>
  Array.from({ length: to - from }, (_, index) => batch(from + index))

/** Oak with ten records of fir, linked to elm, which holds so much of them. */
class Mending extends Oak {
  readonly feed: FeedId

  constructor(held: Partial<FeedDigest> = {}, feed = ofFir) {
    super([openedFeed(feed, 10)])
    this.feed = feed
    this.link(elm, 1, [{ ...digest(feed, 10), ...held }])
  }

  damage(from: number, to: number) {
    return this.tell({ type: 'damageFound', feed: this.feed, range: range(from, to) })
  }

  /** What the disk says around the range; by default all is well there. */
  chain(from: number, to: number, ends: { before?: Hash | undefined; after?: Hash | undefined } = {}) {
    const found = { before: hashAt(from), after: hashAt(to), ...ends }
    return this.tell({ type: 'chainFound', feed: this.feed, range: range(from, to), ...found })
  }

  /** The damage, and the want for it. */
  asks(from: number, to: number) {
    this.damage(from, to)
    const [want] = messages(this.chain(from, to), 'want')
    if (want === undefined) throw new Error('nothing was asked for')
    return want
  }

  filled(from: number, to: number) {
    const credit = { link: 1, bytes: 100 }
    return this.tell({ type: 'holeFilled', feed: this.feed, piece: range(from, to), credit })
  }

  get holes() {
    return this.machine.local.get(feedKeyOf(this.feed))?.holes
  }
}

test('a damaged range is a hole at once: on disk, in what is told, and for whoever asks for it', () => {
  const peer = new Mending()
  const found = peer.damage(3, 5)
  expect(changesOf(found)).toEqual([{ type: 'holes', feed: ofFir, holes: [range(3, 5)] }])
  expect(ofType(found, 'feedDamaged')).toMatchObject([{ range: range(3, 5) }])
  const [told] = messages(peer.tell(digestDue), 'digest')
  expect(told?.message.feeds).toMatchObject([{ nextOffset: 10, holes: [range(3, 5)] }])
  const want = (position: number) => {
    const message = { type: 'want', ref: 9, feed: ofFir, position, bytesMax: 1_000 } as const
    return peer.hear(elm, message)
  }
  expect(ofType(want(1), 'sendRange')).toMatchObject([{ position: 1, endMax: 3 }])
  expect(messages(want(3), 'wantMissing')).toHaveLength(1)
  peer.tell({ type: 'rangeSent', to: elm, link: 1, nextPosition: 3, sizeBytes: 100 })
  expect(ofType(want(5), 'sendRange')).toMatchObject([{ position: 5, endMax: 10 }])
})

test('damage that is known, that is below what is kept, or beyond what is on disk, is no news', () => {
  const peer = new Mending()
  peer.damage(3, 5)
  expect(changesOf(peer.damage(3, 5))).toEqual([])
  expect(changesOf(peer.damage(9, 14))).toEqual([{ type: 'holes', feed: ofFir, holes: [range(3, 5), range(9, 10)] }])
  expect(changesOf(peer.tell({ type: 'damageFound', feed: feedOf(ash), range: range(0, 1) }))).toEqual([])
})

test('a hole is asked for with its end, fits to both sides, and is one until the batches are on disk', () => {
  const peer = new Mending()
  expect(ofType(peer.damage(3, 5), 'findChain')).toMatchObject([{ feed: ofFir, range: range(3, 5) }])
  const [want] = messages(peer.chain(3, 5), 'want')
  expect(want).toMatchObject({ to: elm, message: { position: 3, end: 5, bytesMax: limits.dataFrameBytesTarget } })
  const filling = peer.receive(elm, ofFir, batches(3, 5), { ref: want?.message.ref ?? 0 })
  expect(ofType(filling, 'fillHole')).toMatchObject([{ received: 7, piece: range(3, 5), holes: [] }])
  expect(peer.holes).toEqual([range(3, 5)])
  const mended = peer.filled(3, 5)
  expect(peer.holes).toEqual([])
  expect(ofType(mended, 'feedRepaired')).toMatchObject([{ range: range(3, 5), from: elm }])
  expect(ofType(mended, 'feedAdvanced')).toMatchObject([{ feed: ofFir, head: headAt(10) }])
  expect(messages(mended, 'credit')).toMatchObject([{ to: elm, message: { bytes: 100 } }])
  const [told] = messages(peer.tell(digestDue), 'digest')
  expect(told?.message.feeds[0]).not.toHaveProperty('holes')
})

test('a piece that comes in several frames is a hole until the last of them fits', () => {
  const peer = new Mending()
  const first = peer.asks(2, 6)
  const half = peer.receive(elm, ofFir, batches(2, 4), { ref: first.message.ref })
  expect(ofType(half, 'fillHole')).toMatchObject([{ piece: range(2, 6), holes: [range(2, 6)] }])
  const [second] = messages(half, 'want')
  expect(second?.message).toMatchObject({ position: 4, end: 6 })
  peer.filled(2, 6)
  expect(peer.holes).toEqual([range(2, 6)])
  const rest = peer.receive(elm, ofFir, batches(4, 6), { ref: second?.message.ref ?? 0 })
  expect(ofType(rest, 'fillHole')).toMatchObject([{ holes: [] }])
  peer.filled(2, 6)
  expect(peer.holes).toEqual([])
})

test.each([
  ['does not follow what is before it', [{ ...batch(3), previousHash: hashAt(666) }, batch(4)]],
  ['does not lead to what is after it', [batch(3), { ...batch(4), hash: hashAt(666) }]],
  ['goes beyond the hole', batches(3, 6)],
  ['begins elsewhere', batches(4, 5)],
  ['is broken in itself', [batch(3), { ...batch(4), previousHash: hashAt(666) }]],
])('a piece that %s is not taken; its credit goes back and another holder is asked', (_, frame) => {
  const peer = new Mending()
  peer.link(ash, 2, [digest(ofFir, 10)])
  const want = peer.asks(3, 5)
  const link = want.to === elm ? 1 : 2
  const refused = peer.receive(want.to, ofFir, frame, { link, ref: want.message.ref })
  expect(ofType(refused, 'fillHole')).toEqual([])
  expect(ofType(refused, 'discardReceived')).toHaveLength(1)
  expect(messages(refused, 'credit')).toMatchObject([{ message: { bytes: 100 * frame.length } }])
  expect(ofType(refused, 'findChain')).toHaveLength(1)
  const [again] = messages(peer.chain(3, 5), 'want')
  expect(again?.to).toBe(want.to === elm ? ash : elm)
})

test('where the disk does not know one end, the piece has to fit to the other', () => {
  const peer = new Mending()
  peer.damage(3, 5)
  const [want] = messages(peer.chain(3, 5, { before: undefined }), 'want')
  const foreign = [{ ...batch(3), previousHash: hashAt(666) }, batch(4)]
  const taken = peer.receive(elm, ofFir, foreign, { ref: want?.message.ref ?? 0 })
  expect(ofType(taken, 'fillHole')).toHaveLength(1)
})

test('of a hole that each holder has a part of, each part is asked where it is', () => {
  const peer = new Mending({ holes: [range(4, 8)] })
  peer.link(ash, 2, [{ ...digest(ofFir, 10), holes: [range(2, 5)] }])
  expect(ofType(peer.damage(2, 8), 'findChain')).toMatchObject([{ range: range(2, 4) }])
  const [first] = messages(peer.chain(2, 4, { after: undefined }), 'want')
  expect(first).toMatchObject({ to: elm, message: { position: 2, end: 4 } })
  peer.receive(elm, ofFir, batches(2, 4), { ref: first?.message.ref ?? 0 })
  expect(ofType(peer.filled(2, 4), 'findChain')).toMatchObject([{ range: range(5, 8) }])
  const [second] = messages(peer.chain(5, 8, { before: undefined }), 'want')
  expect(second).toMatchObject({ to: ash, message: { position: 5, end: 8 } })
  peer.receive(ash, ofFir, batches(5, 8), { link: 2, ref: second?.message.ref ?? 0 })
  peer.filled(5, 8)
  expect(peer.holes).toEqual([range(4, 5)])
})

test('damage that is found while a piece is on its way to disk stays, and what is repaired does not come back', () => {
  const peer = new Mending()
  const want = peer.asks(3, 5)
  peer.receive(elm, ofFir, batches(3, 5), { ref: want.message.ref })
  expect(changesOf(peer.damage(7, 8))).toEqual([{ type: 'holes', feed: ofFir, holes: [range(7, 8)] }])
  peer.filled(3, 5)
  expect(peer.holes).toEqual([range(7, 8)])
})

test('a holder that fails, falls silent or goes away is left for another one', () => {
  const peer = new Mending()
  const want = peer.asks(3, 5)
  peer.link(ash, 2, [digest(ofFir, 10)])
  expect(ofType(peer.hear(elm, { type: 'wantMissing', ref: want.message.ref }), 'findChain')).toHaveLength(1)
  expect(messages(peer.chain(3, 5), 'want')).toMatchObject([{ to: ash }])
  expect(ofType(peer.sweep(10_000), 'findChain')).toHaveLength(1)
  expect(messages(peer.chain(3, 5), 'want')).toMatchObject([{ to: elm }])
  expect(ofType(peer.tell({ type: 'linkDown', peer: elm }), 'findChain')).toHaveLength(1)
  expect(messages(peer.chain(3, 5), 'want')).toMatchObject([{ to: ash }])
})

test('two holders that say that they have not got it are not asked again and again (seed 2571)', () => {
  const peer = new Mending()
  const refuse = (from: PeerId, ref = 0) => peer.hear(from, { type: 'wantMissing', ref })
  peer.link(ash, 2, [digest(ofFir, 10)])
  refuse(elm, peer.asks(3, 5).message.ref)
  const [want] = messages(peer.chain(3, 5), 'want')
  expect(want).toMatchObject({ to: ash })
  expect(ofType([...refuse(ash, want?.message.ref), ...peer.sweep(1_000)], 'findChain')).toEqual([])
  expect(ofType(peer.sweep(5_000), 'findChain')).toHaveLength(1)
  expect(messages(peer.chain(3, 5), 'want')).toMatchObject([{ to: elm }])
})

test('holes found at a start are repaired, as soon as somebody comes who holds them', () => {
  const peer = new Oak([openedFeed(ofFir, 10, { holes: [range(3, 5)] })])
  expect(ofType(peer.sweep(1_000), 'findChain')).toEqual([])
  expect(ofType(peer.link(elm, 1, [digest(ofFir, 10)]), 'findChain')).toMatchObject([{ range: range(3, 5) }])
})

test('damage in a feed of our own boot is repaired, too: giving back is not forging', () => {
  const peer = new Oak()
  for (const end of [0, 1, 2, 3]) peer.write(end, true)
  peer.link(elm, 1, [digest(feedOf(oak), 3)])
  const damaged = peer.tell({ type: 'damageFound', feed: feedOf(oak), range: range(1, 2) })
  expect(ofType(damaged, 'findChain')).toHaveLength(1)
  const ends = { before: hashAt(1), after: hashAt(2) }
  const [want] = messages(peer.tell({ type: 'chainFound', feed: feedOf(oak), range: range(1, 2), ...ends }), 'want')
  const taken = peer.receive(elm, feedOf(oak), [batch(1)], { ref: want?.message.ref ?? 0 })
  expect(ofType(taken, 'fillHole')).toHaveLength(1)
  expect(ofType(taken, 'closeLink')).toEqual([])
})

test('a copy ends at its first hole, at a neighbor and here', () => {
  const peer = new Oak()
  for (const end of [0, 1, 2]) peer.write(end, true)
  const told = (holes: readonly OffsetRange[]) =>
    peer.hear(elm, { type: 'digest', feeds: [{ ...digest(feedOf(oak), 2), ...(holes.length > 0 && { holes }) }] })
  peer.link(elm, 1)
  told([range(0, 1)])
  const publish = { ref: 1, endOffset: 2, level: { type: 'count', count: 2 } } as const
  expect(settledOf(peer.publish(publish))).toEqual([])
  peer.tell({ type: 'damageFound', feed: feedOf(oak), range: range(1, 2) })
  expect(settledOf(told([]))).toEqual([])
  const ends = { before: hashAt(1), after: hashAt(2) }
  const [want] = messages(peer.tell({ type: 'chainFound', feed: feedOf(oak), range: range(1, 2), ...ends }), 'want')
  peer.receive(elm, feedOf(oak), [batch(1)], { ref: want?.message.ref ?? 0 })
  const credit = { link: 1, bytes: 100 }
  const filled = peer.tell({ type: 'holeFilled', feed: feedOf(oak), piece: range(1, 2), credit })
  expect(settledOf(filled)).toEqual([{ ref: 1, reached: true, peers: [oak, elm] }])
})

test('what comes for a hole once the disk is full is not stored, and asked for again once there is room (seed 211)', () => {
  const peer = new Mending()
  peer.damage(3, 5)
  const [want] = messages(peer.chain(3, 5), 'want')
  peer.tell({ type: 'diskChanged', full: true })
  const came = peer.receive(elm, ofFir, [batch(3), batch(4)], { ref: want?.message.ref ?? 0 })
  expect([ofType(came, 'fillHole'), ofType(came, 'discardReceived').length]).toEqual([[], 1])
  expect(messages(came, 'credit')).toMatchObject([{ to: elm, message: { bytes: 200 } }])
  expect(peer.holes).toEqual([range(3, 5)])
  peer.tell({ type: 'diskChanged', full: false })
  peer.sweep(60_000)
  const [again] = messages(peer.chain(3, 5), 'want')
  const later = peer.receive(elm, ofFir, [batch(3), batch(4)], { ref: again?.message.ref ?? 0 })
  expect(ofType(later, 'fillHole')).toHaveLength(1)
})

test('a range is lost once every registered peer has told all it holds, and does not hold it', () => {
  const peer = new Mending({ holes: [range(4, 8)] })
  const lost = () => {
    const local = peer.machine.local.get(feedKeyOf(ofFir))
    return local && peer.machine.lostOf(local)
  }
  peer.damage(3, 6)
  expect(lost()).toEqual([])
  peer.link(ash, 2, [{ ...digest(ofFir, 10), holes: [range(5, 6)] }])
  expect(lost()).toEqual([])
  // Whoever waits for it learns of that.
  expect(ofType(peer.askAround(), 'feedAdvanced')).toMatchObject([{ feed: ofFir }])
  expect(lost()).toEqual([range(5, 6)])
  expect(ofType(peer.sweep(1_000), 'feedAdvanced')).toEqual([])
  peer.tell({ type: 'linkDown', peer: ash })
  expect(lost()).toEqual([])
})

test('nothing is lost that somebody holds who is linked, though it belongs to the mesh no more', () => {
  const peer = new Mending({ holes: [range(3, 6)] })
  const lost = () => {
    const local = peer.machine.local.get(feedKeyOf(ofFir))
    return local && peer.machine.lostOf(local)
  }
  peer.register([oak, elm])
  peer.link(ash, 2, [digest(ofFir, 10)])
  peer.damage(3, 6)
  for (let round = 0; round < 3; round++) {
    expect(lost()).toEqual([])
    peer.askAround()
  }
  peer.hear(ash, { type: 'digest', feeds: [{ ...digest(ofFir, 10), holes: [range(3, 6)] }] })
  lost()
  peer.askAround()
  expect(lost()).toEqual([range(3, 6)])
})

test('nothing is lost while somebody has not answered since it was missed; word of a copy may be on its way (seed 758)', () => {
  const peer = new Mending()
  const lost = () => {
    const local = peer.machine.local.get(feedKeyOf(ofFir))
    return local && peer.machine.lostOf(local)
  }
  peer.hear(elm, { type: 'digest', feeds: [{ ...digest(ofFir, 10), keptFrom: 10 }] })
  peer.link(ash, 2, [])
  peer.damage(3, 6)
  expect(lost()).toEqual([])
  const asked = messages(peer.sweep(1_000), 'flush')
  expect(asked.map(({ to }) => to)).toEqual([elm, ash])
  const ref = (at: PeerId) => asked.find(({ to }) => to === at)?.message.ref ?? 0
  peer.hear(elm, { type: 'flushed', ref: ref(elm) })
  for (let i = 0; i < 5; i++) expect(messages(peer.sweep(1_000), 'flush').map(({ to }) => to)).not.toContain(ash)
  expect(lost()).toEqual([])
  // What elm had let go of ash has taken over.
  peer.hear(ash, { type: 'digest', feeds: [digest(ofFir, 10)] })
  peer.hear(ash, { type: 'flushed', ref: ref(ash) })
  peer.askAround()
  expect(lost()).toEqual([])
})

test('more holes than a digest can tell are joined where they are nearest', () => {
  const feed = feedOf('yew' as PeerId)
  const peer = new Oak([openedFeed(feed, 10_000)])
  for (let from = 0; from < 4 * (limits.feedHolesMax + 1); from += 4) {
    peer.tell({ type: 'damageFound', feed, range: range(from, from + 1) })
  }
  expect(peer.machine.local.get(feedKeyOf(feed))?.holes).toHaveLength(limits.feedHolesMax)
})

test('a feed whose holes fill a digest is told in one of its own', () => {
  const holes = Array.from({ length: limits.feedHolesMax }, (_, index) => range(2 * index, 2 * index + 1))
  const feeds = ['w1', 'w2', 'w3'].map((writer) => openedFeed(feedOf(writer as PeerId), 10_000, { holes }))
  const peer = new Oak(feeds)
  peer.tell({ type: 'linkUp', peer: elm, link: 1 })
  const pages = [messages(peer.hear(elm, { type: 'summaryDiffers', buckets: '0'.repeat(16 * 256) }), 'digest')]
  pages.push(messages(peer.hear(elm, { type: 'digestMore' }), 'digest'))
  expect(pages.map(([page]) => [page?.message.feeds.length, page?.message.listing?.more])).toEqual([
    [2, true],
    [1, false],
  ])
})
