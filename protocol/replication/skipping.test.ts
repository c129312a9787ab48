// What comes after a range that nobody has any more: oak is behind, elm and ash hold what comes before and after.
import { expect, test } from 'vitest'
import type { PeerId } from '#protocol/ids'
import { feedKeyOf, type OffsetRange } from '#protocol/log/feed'
import type { ReplicationEffect } from './inputs.ts'
import type { FeedDigest } from './messages.ts'
import { topicHeads } from './status.ts'
import {
  ash,
  batch,
  changesOf,
  digest,
  elm,
  feedOf,
  hashAt,
  headAt,
  messages,
  Oak,
  oak,
  ofType,
  openedFeed,
  orders,
  range,
} from './test-oak.ts'

const ofFir = feedOf('fir' as PeerId)
const holding = (nextOffset: number, ...holes: readonly OffsetRange[]): FeedDigest => ({
  ...digest(ofFir, nextOffset),
  holes,
})
const wantsOf = (effects: readonly ReplicationEffect[]) =>
  messages(effects, 'want').map(({ to, message }) => [to, message.position])

/** Oak with three records of fir; both others lack what follows. */
function missing(atElm = holding(10, range(3, 5)), atAsh = holding(10, range(3, 6))) {
  const peer = new Oak([openedFeed(ofFir, 3)])
  peer.link(elm, 1, [atElm])
  peer.link(ash, 2, [atAsh])
  return peer
}

/** The same, once everybody was asked for it. */
function behind(...holdings: Parameters<typeof missing>) {
  const peer = missing(...holdings)
  peer.askAround()
  return peer
}

const localOf = (peer: Oak) => peer.machine.local.get(feedKeyOf(ofFir))
const stored = (peer: Oak, to: number) => {
  return peer.tell({ type: 'feedChanged', change: { type: 'skip', feed: ofFir, to: headAt(to) } })
}

test('a lost range is passed over after a while: the chain goes on where the next batch says, and behind it a hole is left', () => {
  const peer = behind()
  const [asked] = messages(peer.sweep(5_000), 'want')
  expect(asked).toMatchObject({ to: elm, message: { position: 5, bytesMax: 1 } })
  const skipped = peer.receive(elm, ofFir, [batch(5)], { ref: asked?.message.ref ?? 0 })
  expect(changesOf(skipped)).toEqual([{ type: 'skip', feed: ofFir, to: headAt(5) }])
  expect(messages(skipped, 'credit')).toMatchObject([{ to: elm, message: { bytes: 100 } }])
  expect(ofType(skipped, 'storeReceived')).toEqual([])
  const later = stored(peer, 5)
  expect(localOf(peer)).toMatchObject({ durable: headAt(5), holes: [range(3, 5)] })
  expect(messages(later, 'want')).toMatchObject([{ to: elm, message: { position: 5 } }])
  const [told] = messages(peer.tell({ type: 'timerFired', timer: { type: 'digestDue' } }), 'digest')
  expect(told?.message.feeds).toMatchObject([{ nextOffset: 5, holes: [range(3, 5)] }])
})

test('it is not passed over while somebody holds it, has not told all, or is away', () => {
  const heldBy = behind(holding(10, range(3, 5)), digest(ofFir, 4))
  expect(wantsOf([...heldBy.sweep(6_000), ...heldBy.sweep(6_000)])).not.toContainEqual([elm, 5])
  const half = new Oak([openedFeed(ofFir, 3)])
  half.link(elm, 1, [holding(10, range(3, 5))])
  expect(wantsOf([...half.sweep(6_000), ...half.sweep(6_000)])).toEqual([])
  half.tell({ type: 'linkUp', peer: ash, link: 2 })
  expect(wantsOf([...half.sweep(6_000), ...half.sweep(6_000)])).toEqual([])
  const left = behind()
  left.tell({ type: 'linkDown', peer: ash })
  expect(wantsOf([...left.sweep(6_000), ...left.sweep(6_000)])).toEqual([])
})

test('whoever comes with it while oak waits is asked at once; one that comes while the other is asked counts, too', () => {
  const waiting = missing()
  waiting.sweep(1_000)
  expect(wantsOf(waiting.hear(ash, { type: 'digest', feeds: [digest(ofFir, 10)] }))).toEqual([[ash, 3]])
  const asking = behind()
  const [asked] = messages(asking.sweep(5_000), 'want')
  expect(asked?.message).toMatchObject({ position: 5 })
  asking.hear(ash, { type: 'digest', feeds: [digest(ofFir, 10)] })
  const answered = asking.receive(elm, ofFir, [batch(5)], { ref: asked?.message.ref ?? 0 })
  expect(changesOf(answered)).toEqual([])
  expect(wantsOf(answered)).toEqual([[ash, 3]])
})

test('damage that is found while what was passed over is on its way to disk does not undo that', () => {
  const peer = behind(holding(10, range(3, 10)), holding(10, range(3, 10)))
  expect(changesOf(peer.sweep(5_000))).toMatchObject([{ type: 'skip' }])
  const found = peer.tell({ type: 'damageFound', feed: ofFir, range: range(1, 2) })
  expect(changesOf(found)).toEqual([{ type: 'holes', feed: ofFir, holes: [range(1, 2), range(3, 10)] }])
  expect(localOf(peer)?.holes).toEqual([range(1, 2)])
  stored(peer, 10)
  expect(localOf(peer)?.holes).toEqual([range(1, 2), range(3, 10)])
})

test('a batch that begins elsewhere is of no use', () => {
  const peer = behind()
  const [asked] = messages(peer.sweep(5_000), 'want')
  expect(asked?.message).toMatchObject({ position: 5 })
  expect(changesOf(peer.receive(elm, ofFir, [batch(6)], { ref: asked?.message.ref ?? 0 }))).toEqual([])
})

test('where all that follows is lost, the feed goes on from the furthest head', () => {
  const peer = behind(holding(10, range(3, 10)), holding(7, range(2, 7)))
  expect(changesOf(peer.sweep(5_000))).toEqual([{ type: 'skip', feed: ofFir, to: headAt(10) }])
  stored(peer, 10)
  expect(localOf(peer)).toMatchObject({ durable: headAt(10), holes: [range(3, 10)] })
})

test('what was passed over is filled like any hole when somebody comes with it', () => {
  const peer = behind(holding(10, range(3, 10)), holding(10, range(3, 10)))
  peer.sweep(5_000)
  stored(peer, 10)
  const found = peer.hear(elm, { type: 'digest', feeds: [digest(ofFir, 10)] })
  expect(ofType(found, 'findChain')).toMatchObject([{ range: range(3, 10) }])
  const ends = { before: hashAt(3), after: undefined }
  const [want] = messages(peer.tell({ type: 'chainFound', feed: ofFir, range: range(3, 10), ...ends }), 'want')
  const batches = Array.from({ length: 7 }, (_, index) => batch(3 + index))
  expect(ofType(peer.receive(elm, ofFir, batches, { ref: want?.message.ref ?? 0 }), 'fillHole')).toMatchObject([
    { holes: [] },
  ])
})

test('a topic has converged when nobody misses what anybody holds', () => {
  const converged = (...others: readonly [FeedDigest, FeedDigest]) => {
    const peer = new Oak([openedFeed(ofFir, 10, { holes: [range(3, 5)] })])
    peer.link(elm, 1, [others[0]])
    peer.link(ash, 2, [others[1]])
    return topicHeads(peer.machine, oak, orders).converged
  }
  expect(converged(holding(10, range(3, 5)), holding(10, range(3, 5)))).toBe(true)
  expect(converged(holding(10, range(3, 5)), holding(10, range(3, 4)))).toBe(false)
  expect(converged(holding(10, range(3, 5)), digest(ofFir, 10))).toBe(false)
})

test('a feed waits once: the next lost range is passed over at once', () => {
  const peer = behind(holding(10, range(3, 5), range(6, 8)), holding(10, range(3, 5), range(6, 8)))
  const [asked] = messages(peer.sweep(5_000), 'want')
  peer.receive(elm, ofFir, [batch(5)], { ref: asked?.message.ref ?? 0 })
  const [next] = messages(stored(peer, 5), 'want')
  expect(next?.message).toMatchObject({ position: 5 })
  peer.receive(elm, ofFir, [batch(5)], { link: next?.to === elm ? 1 : 2, ref: next?.message.ref ?? 0 })
  peer.tell({ type: 'rangesStored', runs: [{ feed: ofFir, head: headAt(6) }] })
  expect(wantsOf(peer.sweep(1_000))).toEqual([[elm, 8]])
})
