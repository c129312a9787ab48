// A peer without room, and one that has such a neighbor: nothing is stored, nobody spins, and both go on when there is room.
import { expect, test } from 'vitest'
import { limits } from '#protocol/limits'
import {
  ash,
  batch,
  digest,
  elm,
  feedOf,
  headAt,
  messages,
  Oak,
  oak,
  ofType,
  openingBatch,
  openingOf,
} from './test-oak.ts'

const full = (on: boolean) => ({ type: 'diskChanged', full: on }) as const
const said = (on: boolean) => ({ type: 'disk', full: on }) as const

test('a full peer says so once, and at once on each new link; it says, too, that there is room again', () => {
  const peer = new Oak()
  peer.link(elm, 1)
  expect(messages(peer.tell(full(true)), 'disk')).toEqual([{ to: elm, message: said(true) }])
  expect(peer.tell(full(true))).toEqual([])
  expect(messages(peer.link(ash, 2), 'disk')).toEqual([{ to: ash, message: said(true) }])
  expect(messages(peer.tell(full(false)), 'disk').map(({ to, message }) => [to, message.full])).toEqual([
    [elm, false],
    [ash, false],
  ])
  expect(messages(peer.link(elm, 3), 'disk')).toEqual([])
})

test('a full peer stores nothing that comes and gives its credit back; with room it asks for what it lacks', () => {
  const peer = new Oak()
  peer.link(elm, 1)
  peer.tell(full(true))
  const pushed = peer.receive(elm, feedOf(elm), [openingBatch(openingOf(elm)), batch(0)])
  expect(ofType(pushed, 'storeReceived')).toEqual([])
  expect(ofType(pushed, 'discardReceived')).toHaveLength(1)
  expect(messages(pushed, 'credit')).toMatchObject([{ to: elm, message: { bytes: 200 } }])
  const told = peer.hear(ash, { type: 'digest', feeds: [] })
  expect(messages(told, 'want')).toEqual([])
  const linked = peer.link(ash, 2, [digest(feedOf(elm), 1)])
  expect(messages([...linked, ...peer.sweep(10_000)], 'want')).toEqual([])
  const room = peer.tell(full(false))
  expect(messages(room, 'want')).toMatchObject([{ to: ash, message: { feed: feedOf(elm), position: -1 } }])
})

test('a full peer still tells its heads and serves what it has', () => {
  const peer = new Oak()
  peer.write(0, true)
  peer.write(1, true)
  peer.tell(full(true))
  peer.link(elm, 1)
  const wanted = peer.hear(elm, { type: 'want', ref: 3, feed: feedOf(oak), position: 0, bytesMax: 1_000 })
  const served = peer.tell({ type: 'rangeSent', to: elm, link: 1, nextPosition: 1, sizeBytes: 200 })
  expect([...ofType(wanted, 'sendRange'), ...ofType(served, 'sendRange')].map(({ ref }) => ref)).toContain(3)
})

test('a full neighbor is not pushed to, however long it is, and all that it dropped is pushed once it has room', () => {
  const peer = new Oak()
  peer.write(0, true)
  peer.link(elm, 1, [digest(feedOf(oak), 0)])
  expect(ofType(peer.write(1, true), 'sendRange')).toMatchObject([{ to: elm, position: 0 }])
  peer.hear(elm, said(true))
  const sent = peer.tell({ type: 'rangeSent', to: elm, link: 1, nextPosition: 1, sizeBytes: 100 })
  peer.hear(elm, { type: 'credit', bytes: limits.linkCreditBytes })
  const later = [peer.write(2, true), peer.sweep(1_000), peer.sweep(60_000), peer.write(3, true)]
  expect(ofType([...sent, ...later.flat()], 'sendRange')).toEqual([])
  const room = peer.hear(elm, said(false))
  expect(ofType(room, 'sendRange')).toMatchObject([{ to: elm, position: 0, endMax: 3 }])
  expect(headAt(3).nextOffset).toBe(3)
})

test('a neighbor that was full is pushed to on a new link, unless it says that it still is', () => {
  const peer = new Oak()
  peer.write(0, true)
  peer.link(elm, 1, [digest(feedOf(oak), 0)])
  peer.hear(elm, said(true))
  peer.tell({ type: 'linkDown', peer: elm })
  expect(ofType(peer.write(1, true), 'sendRange')).toEqual([])
  expect(ofType(peer.link(elm, 2, [digest(feedOf(oak), 0)]), 'sendRange')).toMatchObject([{ to: elm, position: 0 }])
})
