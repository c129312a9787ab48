import { beforeEach, describe, expect, test, vi } from 'vitest'
import type { PeerId, TopicId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import type { ReplicationEffect } from './inputs.ts'
import {
  ash,
  digest,
  elm,
  epochs,
  feedOf,
  headAt,
  oak,
  Oak,
  ofType,
  openedFeed,
  openingOf,
  orders,
} from './test-oak.ts'

// Goal: with more members than links, oak says with whom it needs one. Method: the machine of oak alone; two links are kept.

const [fir, yew] = ['fir', 'yew'] as PeerId[] as [PeerId, PeerId]
const all = [oak, elm, ash, fir, yew]

function crowded(replicas: number, linksMax = 2): Oak {
  const peer = new Oak([], { replicas, linksMax })
  peer.register(all)
  for (const other of all) peer.tell({ type: 'presenceChanged', peer: other, present: true })
  return peer
}

const needs = (effects: readonly ReplicationEffect[]): readonly PeerId[] | undefined => {
  const last = ofType(effects, 'linksNeeded').at(-1)
  return last && [...last.peers].toSorted()
}

const keepersIn = (peer: Oak): readonly PeerId[] => [...peer.machine.homes.of(orders).keepers].toSorted()
const othersOf = (peers: readonly PeerId[]): readonly PeerId[] => peers.filter((peer) => peer !== oak)

describe('a peer of five that keeps two links', () => {
  let peer: Oak
  beforeEach(() => {
    peer = crowded(2)
  })

  test('needs the keepers of a topic from its first record on, and for ten sweeps after the last', () => {
    expect(needs(peer.write(0, true))).toEqual(othersOf(keepersIn(peer)))
    for (let sweeps = 0; sweeps < 9; sweeps++) expect(needs(peer.sweep(1_000))).toBeUndefined()
    peer.write(1, true)
    for (let sweeps = 0; sweeps < 9; sweeps++) expect(needs(peer.sweep(1_000))).toBeUndefined()
    expect(needs(peer.sweep(1_000))).toEqual([])
  })

  test('needs the keepers of what is read at it, and does not take itself for isolated until they were dialed', () => {
    const effects = peer.tell({ type: 'topicUsed', topicId: orders, waiting: true })
    expect(needs(effects)).toEqual(othersOf(keepersIn(peer)))
    expect(peer.machine.following.standing(orders)).toBe('asking')
    for (let sweeps = 0; sweeps < 60; sweeps++) expect(needs(peer.sweep(1_000))).toBeUndefined()
    expect(peer.machine.following.standing(orders)).not.toBe('asking')
  })

  test('needs whoever is new until it has told all that it holds, but not for ever', () => {
    const keeper = othersOf(all).find((other) => !keepersIn(peer).includes(other)) as PeerId
    expect(needs(peer.tell({ type: 'linkUp', peer: keeper, link: 1 }))).toBeUndefined()
    expect(needs(peer.sweep(1_000))).toEqual([keeper])
    peer.hear(keeper, { type: 'summary', epoch: epochs.first, root: '0'.repeat(16) })
    expect(needs(peer.sweep(1_000))).toEqual([])
    peer.tell({ type: 'linkDown', peer: keeper })
    peer.tell({ type: 'linkUp', peer: keeper, link: 2 })
    expect(needs(peer.sweep(1_000))).toEqual([keeper])
    const later = Array.from({ length: 12 }, () => needs(peer.sweep(1_000)))
    expect(later.filter((one) => one !== undefined)).toEqual([[]])
  })

  test('needs everybody while it is to be settled that something is lost, if all are there', () => {
    const holed = new Oak([openedFeed(feedOf(elm), 3, { holes: [{ from: 1, to: 2 }] })], { replicas: 9, linksMax: 2 })
    holed.register(all)
    expect(needs(holed.sweep(1_000)) ?? []).toEqual([])
    for (const other of all) holed.tell({ type: 'presenceChanged', peer: other, present: true })
    expect(needs([...holed.sweep(1_000), ...holed.sweep(1_000)])).toEqual(othersOf(all).toSorted())
  })
})

test('everybody is needed only while there are connections for all, and some to spare', () => {
  const called = (members: number): number | undefined => {
    const peers = [oak, ...Array.from({ length: members - 1 }, (_, index) => `p${index}` as PeerId)]
    const holed = new Oak([openedFeed(feedOf(elm), 3, { holes: [{ from: 1, to: 2 }] })], { linksMax: 2 })
    holed.register(peers)
    for (const peer of peers) holed.tell({ type: 'presenceChanged', peer, present: true })
    return needs([...holed.sweep(1_000), ...holed.sweep(1_000)])?.length
  }
  const most = limits.linksMax - limits.linksReserved
  expect([called(most), called(most + 1)]).toEqual([most - 1, undefined])
})

test('whoever waits for copies needs all keepers, however many; others are told by whom they are linked with', () => {
  const peer = crowded(Number.POSITIVE_INFINITY)
  expect(needs(peer.write(0, true))).toBeUndefined()
  peer.write(1, true)
  expect(needs(peer.publish({ level: { type: 'local' } }))).toBeUndefined()
  expect(needs(peer.publish({ ref: 2, level: { type: 'all' } }))).toEqual(othersOf(all).toSorted())
})

test('the first record of a topic costs as much with a thousand other topics as with one', () => {
  const peer = crowded(2)
  const [homesOf, neighborsOf] = [vi.spyOn(peer.machine.homes, 'of'), vi.spyOn(peer.machine.neighbors, 'values')]
  const looks = Array.from({ length: 1_000 }, (_, index) => {
    const feed = { ...feedOf(oak), topicId: index.toString(16).padStart(32, '0') as TopicId }
    const before = homesOf.mock.calls.length + neighborsOf.mock.calls.length
    peer.tell({ type: 'batchAppended', feed, head: headAt(0), sizeBytes: 100, hlcMs: 1, opening: openingOf(oak) })
    return homesOf.mock.calls.length + neighborsOf.mock.calls.length - before
  })
  expect(Math.max(...looks)).toBe(Math.max(...looks.slice(0, 10)))
})

test('what a member told last counts while it is there, where links are closed', () => {
  for (const [linksMax, isCurrent] of [
    [2, true],
    [4, false],
  ] as const) {
    const peer = crowded(2, linksMax)
    peer.link(elm, 1, [digest(feedOf(elm), 3)])
    expect(peer.machine.isCurrent(elm)).toBe(true)
    peer.tell({ type: 'linkDown', peer: elm })
    expect(peer.machine.isCurrent(elm)).toBe(isCurrent)
    peer.tell({ type: 'presenceChanged', peer: elm, present: false })
    expect(peer.machine.isCurrent(elm)).toBe(false)
  }
})

test('it counts on a new link, too, until something else is told there', () => {
  for (const [linksMax, isCurrent] of [
    [2, true],
    [4, false],
  ] as const) {
    const peer = crowded(2, linksMax)
    peer.link(elm, 1, [digest(feedOf(elm), 3)])
    peer.tell({ type: 'linkDown', peer: elm })
    peer.tell({ type: 'linkUp', peer: elm, link: 2 })
    expect(peer.machine.isCurrent(elm)).toBe(isCurrent)
    peer.tell({ type: 'linkDown', peer: elm })
    expect(peer.machine.isCurrent(elm)).toBe(isCurrent)
    peer.tell({ type: 'linkUp', peer: elm, link: 3 })
    peer.hear(elm, { type: 'summary', epoch: epochs.first, root: 'f'.repeat(16) })
    expect(peer.machine.isCurrent(elm)).toBe(false)
  }
})

test('where all are linked nobody is asked for', () => {
  const peer = crowded(3, 4)
  const effects = [...peer.write(0, true), ...peer.write(1, true), ...peer.publish({}), ...peer.sweep(1_000)]
  expect(needs(effects)).toBeUndefined()
})
