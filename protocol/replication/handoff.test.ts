// Handoff before delete, both sides of it. Of oak, elm and ash, with two replicas, `orders` belongs to ash and elm, `photos` to
// oak and ash (interest.test.ts).
import { describe, expect, test } from 'vitest'
import type { PeerId, TopicId } from '#protocol/ids'
import type { OpenedFeed } from './inputs.ts'
import { limits } from '#protocol/limits'
import type { FeedDigest } from './messages.ts'
import { ash, digest, elm, feedOf, hashAt, headAt, messages, Oak, oak, ofType, openedFeed } from './test-oak.ts'

const photos = '44'.repeat(16) as TopicId
const yew = 'yew' as PeerId
const ofYew = feedOf(yew)
const graceMs = 60_000
const config = { replicas: 2, handoffGraceMs: graceMs }

/** Oak with some of orders left over, linked to its home, which holds all of it. */
function oakWith(feeds: readonly OpenedFeed[], held: readonly FeedDigest[]): Oak {
  const peer = new Oak(feeds, config)
  peer.link(elm, 1, held)
  peer.link(ash, 2, held)
  return peer
}

const asked = (effects: ReturnType<Oak['tell']>) =>
  messages(effects, 'handoff').map(({ to, message: { ref, nextOffset } }) => ({ to, ref, nextOffset }))
const changes = (effects: ReturnType<Oak['tell']>) => ofType(effects, 'changeFeed').map(({ change }) => change)
const confirm = (peer: Oak, from: PeerId, ref: number) => peer.hear(from, { type: 'handoffConfirmed', ref })

/** Lets oak ask for the first time, and all confirm; and once the grace time is over again, up to the last confirmation. */
function upToTheLast(peer: Oak): { readonly last: () => ReturnType<Oak['tell']> } {
  const first = asked(peer.sweep(1_000))
  expect(first.map(({ to }) => to)).toEqual([ash, elm])
  for (const { to, ref } of first) expect(changes(confirm(peer, to, ref))).toEqual([])
  expect(asked(peer.sweep(graceMs - 1))).toEqual([])
  const second = asked(peer.sweep(1))
  expect(second.map(({ to }) => to)).toEqual([ash, elm])
  const [one, other] = second as [(typeof second)[0], (typeof second)[0]]
  // What was confirmed before the grace time is worth nothing now.
  for (const { to, ref } of first) expect(changes(confirm(peer, to, ref))).toEqual([])
  expect(changes(confirm(peer, one.to, one.ref))).toEqual([])
  return { last: () => confirm(peer, other.to, other.ref) }
}

describe('who need not keep a feed', () => {
  test('lets go of it when everybody at home has confirmed, twice, a grace time apart; and says so', () => {
    const peer = oakWith([openedFeed(ofYew, 5)], [digest(ofYew, 7)])
    expect(changes(upToTheLast(peer).last())).toEqual([{ type: 'forget', feed: ofYew, rooted: [] }])
    const told = messages(peer.tell({ type: 'timerFired', timer: { type: 'digestDue' } }), 'digest')
    expect(told.map(({ to, message }) => [to, message.gone])).toEqual([
      [elm, [ofYew]],
      [ash, [ofYew]],
    ])
    expect(peer.machine.local.size).toBe(0)
    expect(asked(peer.sweep(graceMs))).toEqual([])
  })

  test('of a feed of its own keeps opening and head, and what has come since it asked', () => {
    const mine = feedOf(oak)
    const peer = oakWith([], [])
    for (const end of [0, 1, 2]) peer.write(end, true)
    const all = (end: number) =>
      [elm, ash].map((from) => peer.hear(from, { type: 'digest', feeds: [digest(mine, end)] }))
    all(2)
    const { last } = upToTheLast(peer)
    peer.write(3, true)
    all(3)
    expect(changes(last())).toEqual([{ type: 'kept', feed: mine, keptFrom: 2 }])
    const told = messages(peer.tell({ type: 'timerFired', timer: { type: 'digestDue' } }), 'digest')
    expect(told[0]?.message.feeds).toMatchObject([{ keptFrom: 2, nextOffset: 3 }])
    const want = { type: 'want', ref: 1, feed: mine, position: 1, bytesMax: 1_000 } as const
    expect(messages(peer.hear(elm, want), 'wantMissing')).toHaveLength(1)
  })

  test('keeps what one of them does not have, or not whole, and does not even ask', () => {
    const behind = [digest(ofYew, 4)]
    const damaged = [{ ...digest(ofYew, 7), holes: [{ from: 2, to: 3 }] }]
    const partly = [{ ...digest(ofYew, 7), keptFrom: 2 }]
    for (const held of [[], behind, damaged, partly]) {
      const peer = new Oak([openedFeed(ofYew, 5)], config)
      peer.link(elm, 1, [digest(ofYew, 7)])
      peer.link(ash, 2, held)
      expect(asked(peer.sweep(1_000))).toEqual([])
    }
    const trimmed = { ...digest(ofYew, 7), floor: 2, floorHash: hashAt(2), keptFrom: 2 }
    expect(asked(oakWith([openedFeed(ofYew, 5)], [trimmed]).sweep(1_000))).toHaveLength(2)
  })

  test('keeps what somebody has told to be damaged since it confirmed', () => {
    const peer = oakWith([openedFeed(ofYew, 5)], [digest(ofYew, 7)])
    const { last } = upToTheLast(peer)
    peer.hear(elm, { type: 'digest', feeds: [{ ...digest(ofYew, 7), holes: [{ from: 2, to: 3 }] }] })
    expect(changes(last())).toEqual([])
    expect(peer.machine.local.size).toBe(1)
  })

  test('leaves alone what retention has passed over since it asked', () => {
    const mine = feedOf(oak)
    const peer = oakWith([], [])
    const all = (end: number) =>
      [elm, ash].map((from) => peer.hear(from, { type: 'digest', feeds: [digest(mine, end)] }))
    for (const end of [0, 1, 2]) peer.write(end, true)
    all(2)
    const { last } = upToTheLast(peer)
    peer.write(3, true)
    all(3)
    const raised = peer.tell({ type: 'floorsRaised', floors: [{ feed: mine, floor: headAt(3) }] })
    expect(changes(raised)).toEqual([{ type: 'floor', feed: mine, floor: headAt(3) }])
    expect(changes(last())).toEqual([])
  })

  test('asks whoever has restarted anew, and whoever does not answer again', () => {
    const peer = oakWith([openedFeed(ofYew, 5)], [digest(ofYew, 7)])
    const ref = asked(peer.sweep(1_000))[0]?.ref ?? 0
    confirm(peer, ash, ref)
    expect(asked(peer.sweep(15_000)).map(({ to }) => to)).toEqual([elm])
    peer.tell({ type: 'linkDown', peer: ash })
    peer.link(ash, 3, [digest(ofYew, 7)])
    confirm(peer, elm, ref)
    expect(asked(peer.sweep(15_000)).map(({ to }) => to)).toEqual([ash])
  })

  test('begins anew with another home, and not at all when it is part of that', () => {
    const peer = oakWith([openedFeed(ofYew, 5)], [digest(ofYew, 7)])
    const { last } = upToTheLast(peer)
    peer.tell({ type: 'replicasChanged', topics: [{ topicId: ofYew.topicId, replicas: 3 }] })
    expect(changes(last())).toEqual([])
    expect([...peer.machine.handoffs.all()]).toEqual([])
  })

  test('keeps it while it stands in, and while it does not know yet who belongs to the mesh', () => {
    const peer = new Oak([openedFeed(ofYew, 5)], { ...config, replaceAfterMs: 1_000 })
    peer.link(elm, 1, [digest(ofYew, 7)])
    peer.sweep(2_000)
    expect([...peer.machine.handoffs.all()]).toEqual([])
    const joining = oakWith([openedFeed(ofYew, 5)], [digest(ofYew, 7)])
    joining.register([oak, elm, ash], { merged: false })
    expect(asked(joining.sweep(1_000))).toEqual([])
  })
})

test('who comes to keep a topic again wants back what it had let go of, and until then holds no copy', () => {
  const mine = feedOf(oak)
  const peer = new Oak([openedFeed(mine, 5, { keptFrom: 4 })], config)
  const back = peer.tell({ type: 'replicasChanged', topics: [{ topicId: mine.topicId, replicas: 3 }] })
  expect(changes(back)).toEqual([{ type: 'kept', feed: mine, keptFrom: 0 }])
  const told = messages(peer.link(elm, 1, [digest(mine, 5)]), 'want')
  expect(told).toEqual([])
  expect(ofType(peer.sweep(1_000), 'findChain')).toEqual([])
  expect(peer.machine.local.ofTopic(mine.topicId)).toMatchObject([{ keptFrom: 0, holes: [{ from: 0, to: 4 }] }])
})

describe('who is at home', () => {
  const photosOf = (writer: PeerId) => ({ ...feedOf(writer), topicId: photos })
  const held = openedFeed(photosOf(yew), 7)
  const handoff = (ref: number, nextOffset = 5) =>
    ({ type: 'handoff', ref, feed: held.feed, ...headAt(nextOffset) }) as const
  const confirmedTo = (effects: ReturnType<Oak['tell']>) =>
    messages(effects, 'handoffConfirmed').map(({ to, message }) => [to, message.ref])

  test('confirms once its copy was read from disk and is sound, one after the other', () => {
    const peer = new Oak([held], config)
    peer.link(elm, 1)
    const [read] = ofType(peer.hear(elm, handoff(7)), 'verifyCopy')
    expect(read).toMatchObject({ feed: held.feed, floor: headAt(0), head: headAt(5) })
    expect(peer.hear(elm, handoff(7))).toEqual([])
    expect(peer.hear(elm, handoff(8))).toEqual([])
    const done = peer.tell({ type: 'copyVerified', number: read?.number ?? 0, sound: true })
    expect(confirmedTo(done)).toEqual([[elm, 7]])
    const [next] = ofType(done, 'verifyCopy')
    expect(confirmedTo(peer.tell({ type: 'copyVerified', number: next?.number ?? 0, sound: false }))).toEqual([])
  })

  test('says nothing to what it does not have, not whole, or not at home', () => {
    const whole = new Oak([held], config)
    const ofOrders = new Oak([openedFeed(ofYew, 7)], config)
    const damaged = new Oak([{ ...held, holes: [{ from: 1, to: 2 }] }], config)
    for (const peer of [whole, ofOrders, damaged]) peer.link(elm, 1)
    expect(ofType(whole.hear(elm, handoff(1, 8)), 'verifyCopy')).toEqual([])
    expect(ofType(ofOrders.hear(elm, { ...handoff(1), feed: ofYew }), 'verifyCopy')).toEqual([])
    expect(ofType(damaged.hear(elm, handoff(1)), 'verifyCopy')).toEqual([])
  })

  test('does not confirm what it has found to be damaged while it was reading, or when it is not at home any more', () => {
    for (const meanwhile of [
      { type: 'damageFound', feed: held.feed, range: { from: 1, to: 2 } },
      { type: 'replicasChanged', topics: [{ topicId: photos, replicas: 0 }] },
    ] as const) {
      const peer = new Oak([held], config)
      peer.link(elm, 1)
      const [read] = ofType(peer.hear(elm, handoff(1)), 'verifyCopy')
      peer.tell(meanwhile)
      expect(confirmedTo(peer.tell({ type: 'copyVerified', number: read?.number ?? 0, sound: true }))).toEqual([])
    }
  })

  test('lets only so many wait: who is not heard asks again', () => {
    const peer = new Oak([held], config)
    peer.link(elm, 1)
    for (let ref = 1; ref <= limits.verificationsMax + 5; ref++) peer.hear(elm, handoff(ref))
    let read = 0
    for (let number = 1; number <= limits.verificationsMax + 5; number++) {
      read += confirmedTo(peer.tell({ type: 'copyVerified', number, sound: true })).length
    }
    expect(read).toBe(limits.verificationsMax)
  })
})

test('a feed that a neighbor has let go of is remembered as gone, and pushed again if it keeps the topic', () => {
  const mine = feedOf(oak)
  const peer = oakWith([], [])
  for (const end of [0, 1]) peer.write(end, true)
  for (const from of [elm, ash]) peer.hear(from, { type: 'digest', feeds: [digest(mine, 1)] })
  peer.hear(elm, { type: 'digest', feeds: [], gone: [mine] })
  const [head] = [...(peer.machine.neighbors.get(elm)?.heads.values() ?? [])]
  expect(head).toBeUndefined()
  peer.tell({ type: 'rangeSent', to: elm, link: 1, nextPosition: 1, sizeBytes: 0 })
  expect(ofType(peer.sweep(1_000), 'sendRange')).toMatchObject([{ to: elm, position: -1 }])
})
