// Goal: who is on its way out hands over all it holds and takes nothing more; who is forgotten is served nothing, and what
// it holds is taken. Method: oak, which leaves, or whose neighbor does. With two replicas, of oak, elm and ash `photos`
// belongs to oak and ash, and to elm and ash once oak leaves.
import { describe, expect, test } from 'vitest'
import type { PeerId, TopicId } from '#protocol/ids'
import { feedKeyOf } from '#protocol/log/feed'
import type { OpenedFeed } from './inputs.ts'
import type { FeedDigest } from './messages.ts'
import { ash, batch, digest, elm, epochs, feedOf, headAt, messages, Oak, oak, ofType, openedFeed } from './test-oak.ts'
import { openingBatch, openingOf, settledOf } from './test-oak.ts'

const photos = '44'.repeat(16) as TopicId
const yew = 'yew' as PeerId
const ofYew = { ...feedOf(yew), topicId: photos }
const mine = { ...feedOf(oak), topicId: photos }
const config = { replicas: 2, handoffGraceMs: 3_600_000 }
const members = [oak, elm, ash].map((peer) => ({ peer, zone: '' }))
const whole = { type: 'registryChanged', version: '3', merged: true, members } as const
const oakLeaves = { ...whole, leaving: new Set([oak]) }
const without = (gone: PeerId) => ({
  ...whole,
  members: members.filter(({ peer }) => peer !== gone),
  forgotten: new Set([gone]),
})

const asked = (effects: ReturnType<Oak['tell']>) =>
  messages(effects, 'handoff').map(({ to, message: { ref, nextOffset } }) => ({ to, ref, nextOffset }))

function oakWith(feeds: readonly OpenedFeed[], held: readonly FeedDigest[]): Oak {
  const peer = new Oak(feeds, config)
  peer.link(elm, 1, held)
  peer.link(ash, 2, held)
  return peer
}

const leftOf = (peer: Oak) => peer.machine.handoffs.left()

/** All that are asked confirm. */
const confirmAll = (peer: Oak, effects: ReturnType<Oak['tell']>) => {
  for (const { to, ref } of asked(effects)) peer.hear(to, { type: 'handoffConfirmed', ref })
}

describe('a peer on its way out', () => {
  test('keeps no topic, and has handed over what everybody at home has confirmed once', () => {
    const peer = oakWith([openedFeed(ofYew, 5)], [digest(ofYew, 5)])
    expect(peer.machine.homes.of(photos).peers).toEqual([oak, ash])
    peer.tell(oakLeaves)
    expect(peer.machine.homes.of(photos).peers).toEqual([ash, elm])
    expect(peer.machine.homes.registered).toEqual(new Set([oak, elm, ash]))
    expect(leftOf(peer)).toEqual({ feeds: 1, records: 5, waitsFor: [ash, elm] })
    const first = peer.sweep(1_000)
    expect(asked(first).map(({ to }) => to)).toEqual([ash, elm])
    const [one, other] = asked(first)
    peer.hear(ash, { type: 'handoffConfirmed', ref: one?.ref ?? 0 })
    expect(leftOf(peer)).toEqual({ feeds: 1, records: 5, waitsFor: [elm] })
    peer.hear(elm, { type: 'handoffConfirmed', ref: other?.ref ?? 0 })
    expect(leftOf(peer)).toEqual({ feeds: 0, records: 0, waitsFor: [] })
    expect(peer.machine.local.size).toBe(1)
  })

  test('waits for who is cut off, and names it, also if it had confirmed before', () => {
    const peer = oakWith([openedFeed(ofYew, 5)], [digest(ofYew, 5)])
    peer.tell(oakLeaves)
    confirmAll(peer, peer.sweep(1_000))
    peer.tell({ type: 'linkDown', peer: elm })
    expect(leftOf(peer)).toMatchObject({ feeds: 1, waitsFor: [elm] })
    peer.link(elm, 3, [digest(ofYew, 5)])
    expect(leftOf(peer).feeds).toBe(0)
  })

  test('asks again about what it still wrote meanwhile, and counts what is on its way to disk', () => {
    const peer = oakWith([openedFeed(mine, 5)], [digest(mine, 5)])
    peer.tell(oakLeaves)
    confirmAll(peer, peer.sweep(1_000))
    expect(leftOf(peer).feeds).toBe(0)
    peer.tell({ type: 'batchAppended', feed: mine, head: headAt(6), sizeBytes: 100, hlcMs: 1 })
    expect(leftOf(peer)).toMatchObject({ feeds: 1, records: 6 })
    peer.tell({ type: 'rangesStored', runs: [{ feed: mine, head: headAt(6) }] })
    for (const from of [elm, ash]) peer.hear(from, { type: 'digest', feeds: [digest(mine, 6)] })
    const again = peer.sweep(1_000)
    expect(asked(again).map(({ nextOffset }) => nextOffset)).toEqual([6, 6])
    confirmAll(peer, again)
    expect(leftOf(peer).feeds).toBe(0)
  })

  test('has nothing to hand over of a feed of its own that it has let go of, and everything of one with damage', () => {
    const peer = oakWith([openedFeed(feedOf(oak), 5, { keptFrom: 5 })], [])
    peer.tell(oakLeaves)
    expect(leftOf(peer).feeds).toBe(0)
    const damaged = oakWith([openedFeed(ofYew, 5, { holes: [{ from: 1, to: 2 }] })], [])
    damaged.tell(oakLeaves)
    damaged.sweep(1_000)
    expect(leftOf(damaged)).toMatchObject({ feeds: 1, waitsFor: [ash, elm] })
  })

  test('takes nothing that is pushed to it', () => {
    const feed = feedOf(elm)
    const taken = (peer: Oak) =>
      ofType(peer.receive(elm, feed, [openingBatch(openingOf(elm)), batch(0)]), 'storeReceived')
    expect(taken(oakWith([], []))).toHaveLength(1)
    const leaver = oakWith([], [])
    leaver.tell(oakLeaves)
    expect(taken(leaver)).toEqual([])
  })

  test('hands over to nobody where nobody is at home', () => {
    const peer = oakWith([openedFeed(ofYew, 5)], [digest(ofYew, 5)])
    peer.tell({ ...whole, leaving: new Set([oak, elm, ash]) })
    expect(asked(peer.sweep(1_000))).toEqual([])
    expect(leftOf(peer)).toEqual({ feeds: 1, records: 5, waitsFor: [] })
  })

  test('keeps its topics again when it is to stay', () => {
    const peer = oakWith([openedFeed(ofYew, 5)], [digest(ofYew, 5)])
    peer.tell(oakLeaves)
    confirmAll(peer, peer.sweep(1_000))
    peer.tell(whole)
    expect([...peer.machine.handoffs.all()]).toEqual([])
    expect(peer.machine.homes.isOurs(photos)).toBe(true)
  })
})

describe('a forgotten peer', () => {
  const want = { type: 'want', ref: 9, feed: ofYew, position: 0, bytesMax: 1_000 } as const

  test('is served nothing', () => {
    const peer = oakWith([openedFeed(ofYew, 5)], [])
    peer.tell(without(elm))
    expect(messages(peer.hear(elm, want), 'wantMissing')).toEqual([
      { to: elm, message: { type: 'wantMissing', ref: 9 } },
    ])
    expect(ofType(peer.hear(ash, want), 'sendRange')).toHaveLength(1)
    expect(messages(peer.hear(elm, { type: 'follow', topics: [photos], on: true }), 'followed')).toEqual([])
    for (const end of [0, 1]) peer.write(end, true)
    expect(ofType(peer.sweep(1_000), 'sendRange').filter(({ to }) => to === elm)).toEqual([])
  })

  test('is asked for what only it holds, feeds of its earlier boots and those of others', () => {
    const peer = new Oak([], config)
    peer.tell(without(elm))
    const ofElm = { ...feedOf(elm, epochs.second), topicId: photos }
    const wants = messages(peer.link(elm, 1, [digest(ofElm, 3), digest(ofYew, 4)]), 'want')
    expect(wants.map(({ to, message }) => [to, feedKeyOf(message.feed)])).toEqual([
      [elm, feedKeyOf(ofElm)],
      [elm, feedKeyOf(ofYew)],
    ])
  })

  test('counts for no level', () => {
    const peer = oakWith([], [])
    for (const end of [0, 1]) peer.write(end, true)
    peer.tell(without(elm))
    peer.publish({ level: { type: 'count', count: 2 } })
    expect(settledOf(peer.hear(elm, { type: 'digest', feeds: [digest(feedOf(oak), 1)] }))).toEqual([])
    expect(settledOf(peer.hear(ash, { type: 'digest', feeds: [digest(feedOf(oak), 1)] }))).toEqual([
      { ref: 1, reached: true, peers: [oak, ash] },
    ])
  })

  test('which is oneself hands over, too', () => {
    const peer = oakWith([openedFeed(ofYew, 5)], [digest(ofYew, 5)])
    peer.tell(without(oak))
    confirmAll(peer, peer.sweep(1_000))
    expect(leftOf(peer).feeds).toBe(0)
  })
})
