import { beforeEach, expect, test } from 'vitest'
import type { PeerId } from '#protocol/ids'
import { membershipProfiles } from './config.ts'
import { rumor, TestMesh } from './test-mesh.ts'

// Goal: Lifeguard (arXiv:1707.00788): a slow observer does little harm. Method: five whole machines on virtual time.

let mesh: TestMesh
let all: PeerId[]
let oak: PeerId, elm: PeerId, ash: PeerId, fir: PeerId, yew: PeerId

beforeEach(() => {
  mesh = new TestMesh()
  all = mesh.startAll('oak', 'elm', 'ash', 'fir', 'yew')
  ;[oak, elm, ash, fir, yew] = all as [PeerId, PeerId, PeerId, PeerId, PeerId]
  mesh.run(10_000)
})

const awareness = (peer: PeerId): number => mesh.machine(peer).snapshot(mesh.nowMs).self.awareness
const accuse = (at: PeerId, by: PeerId, confirmedBy: readonly PeerId[] = []): void =>
  mesh.inject(by, at, {
    type: 'gossip',
    updates: [{ peer: yew, state: 'suspect', incarnation: 1, by, confirmedBy, reason: 'no answer' }],
  })

test('one accuser leaves a suspect a long time to refute, others who confirm leave it less', () => {
  mesh.isCut = () => true
  accuse(elm, oak)
  expect(mesh.view(elm, yew)).toMatchObject({ suspectedBy: ['oak'], deadInMs: 24_000 })
  accuse(elm, oak)
  expect(mesh.view(elm, yew)).toMatchObject({ suspectedBy: ['oak'], deadInMs: 24_000 })
  accuse(elm, ash)
  expect(mesh.view(elm, yew)).toMatchObject({ suspectedBy: ['oak', 'ash'], deadInMs: 11_381 })
  accuse(elm, fir)
  expect(mesh.view(elm, yew)).toMatchObject({ suspectedBy: ['oak', 'ash', 'fir'], deadInMs: 4_000 })
  mesh.run(3_990)
  expect(mesh.state(elm, yew)).toBe('suspect')
  mesh.run(20 + membershipProfiles.lan.lastWordMs)
  expect(mesh.state(elm, yew)).toBe('dead')
})

test('who accuses is answered at once, whatever becomes of rumors', () => {
  mesh.sent.length = 0
  accuse(yew, elm)
  expect(mesh.sent.filter(({ from }) => from === yew)).toMatchObject([
    { to: elm, message: { type: 'gossip', updates: [{ peer: yew, state: 'alive', incarnation: 2 }] } },
  ])
})

test('a refutation that waits in our sockets counts, although our pause ended just when the suspicion did', () => {
  mesh.isCut = () => true
  for (const accuser of [oak, ash, fir]) accuse(elm, accuser)
  mesh.run(2_000)
  mesh.isCut = () => false
  mesh.pause(elm, 2_100)
  mesh.run(1_000)
  mesh.tell(yew, {
    type: 'messageReceived',
    from: elm,
    message: { type: 'gossip', updates: [rumor(yew, 'suspect', 1, oak)] },
  })
  mesh.changes.length = 0
  mesh.run(2_000)
  expect(mesh.changes.filter(({ at, peer }) => at === elm && peer === yew).map(({ to }) => to)).toEqual(['alive'])
})

test('who was missed by a refutation asks others before it believes a death, and is told', () => {
  mesh.isCut = (a, b) => [a, b].includes(elm)
  mesh.inject(yew, ash, { type: 'gossip', updates: [rumor(yew, 'alive', 2, yew)] })
  mesh.run(1_500)
  mesh.isCut = (a, b) => [a, b].includes(elm) && [a, b].includes(yew)
  for (const accuser of [oak, ash, fir]) accuse(elm, accuser)
  mesh.changes.length = 0
  const asked = mesh.runUntil(() => mesh.state(elm, yew) !== 'suspect', 5_000)
  expect(asked).toBeLessThan(4_000 + membershipProfiles.lan.lastWordMs)
  expect(mesh.changes.filter(({ at, peer }) => at === elm && peer === yew)).toMatchObject([
    { to: 'alive', incarnation: 3 },
  ])
})

test('a suspicion that is over by a late confirmation has its last word, too', () => {
  mesh.isCut = (a, b) => [a, b].includes(elm)
  mesh.inject(yew, ash, { type: 'gossip', updates: [rumor(yew, 'alive', 2, yew)] })
  mesh.run(1_500)
  mesh.isCut = (a, b) => [a, b].includes(elm) && [a, b].includes(yew)
  for (const accuser of [oak, ash]) accuse(elm, accuser)
  mesh.run(6_000)
  expect(mesh.state(elm, yew)).toBe('suspect')
  mesh.changes.length = 0
  accuse(elm, fir)
  mesh.runUntil(() => mesh.state(elm, yew) !== 'suspect', 1_000)
  expect(mesh.changes.filter(({ at, peer }) => at === elm && peer === yew)).toMatchObject([{ to: 'alive' }])
})

test('an ack corrects what its ping says of somebody who has refuted it', () => {
  mesh.inject(yew, ash, { type: 'gossip', updates: [rumor(yew, 'alive', 2, yew)] })
  mesh.sent.length = 0
  const updates = [rumor(yew, 'suspect', 1, oak), rumor(fir, 'suspect', 1, oak)]
  mesh.inject(elm, ash, { type: 'ping', ref: 7, updates })
  const [ack] = mesh.sent.flatMap(({ to, message }) => (to === elm && message.type === 'ack' ? message : []))
  expect(ack?.updates[0]).toMatchObject({ peer: yew, state: 'alive', incarnation: 2 })
})

test('who confirms is told on, so that those who hear of it by others know as well', () => {
  mesh.isCut = (a, b) => [a, b].includes(yew)
  accuse(elm, oak, [ash, fir])
  expect(mesh.view(elm, yew)).toMatchObject({ suspectedBy: ['oak', 'ash', 'fir'], deadInMs: 4_000 })
  mesh.runUntil(() => (mesh.view(fir, yew)?.suspectedBy?.length ?? 0) === 3, 1_000)
})

test('a member that nobody but one accuses is not dead soon', () => {
  accuse(elm, oak)
  mesh.isCut = (a, b) => [a, b].includes(elm)
  mesh.run(20_000)
  expect(mesh.allSee([oak, ash, fir], [yew], 'alive')).toBe(true)
})

test('the suspect is told first, and by every ping', () => {
  mesh.isCut = (a, b) => [a, b].includes(yew)
  mesh.sent.length = 0
  const isAbout = (updates: readonly { readonly peer: PeerId; readonly state: string }[]): boolean =>
    updates.some(({ peer, state }) => peer === yew && state === 'suspect')
  mesh.runUntil(() => all.some((peer) => peer !== yew && mesh.state(peer, yew) === 'suspect'), 5_000)
  const told = mesh.sent.filter(({ message }) => 'updates' in message && isAbout(message.updates))
  expect(told[0]?.to).toBe(yew)
  mesh.sent.length = 0
  mesh.run(3_000)
  const pings = mesh.sent.filter(({ to, message }) => to === yew && message.type === 'ping')
  expect(pings.length).toBeGreaterThan(0)
  for (const { message } of pings) expect('updates' in message && isAbout(message.updates)).toBe(true)
})

test('a peer that is late, or has to refute, takes its time from then on, until its probes are answered again', () => {
  expect(awareness(oak)).toBe(0)
  mesh.pause(oak, 900)
  mesh.runUntil(() => awareness(oak) === 1, 3_000)
  mesh.run(10_000)
  expect(awareness(oak)).toBe(0)
  accuse(yew, elm)
  expect(awareness(yew)).toBe(1)
})

test('answers that fail to come, of the members asked for help as well, are held against oneself', () => {
  mesh.isCut = (a, b) => [a, b].includes(oak)
  mesh.run(3_000)
  const isolated = awareness(oak)
  expect(isolated).toBeGreaterThanOrEqual(3)
  // Whose helpers say no is not slow: the others have lost one member, and can tell.
  expect(Math.max(...[elm, ash, fir, yew].map(awareness))).toBe(0)
})

test('a member that is gone is not held against who notices', () => {
  const pair = new TestMesh()
  const [a, b] = pair.startAll('oak', 'elm') as [PeerId, PeerId]
  pair.run(5_000)
  pair.kill(b)
  pair.run(10_000)
  expect(pair.state(a, b)).toBe('dead')
  expect(pair.machine(a).snapshot(pair.nowMs).self.awareness).toBe(0)
})
