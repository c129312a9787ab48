import { beforeEach, describe, expect, test } from 'vitest'
import type { PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { membershipProfiles } from './config.ts'
import type { MemberUpdate } from './messages.ts'
import { factsOf, peerOf, rumor, TestMesh } from './test-mesh.ts'

// Goal: what a wrong or hostile member says changes no more than it may. Method: elm says it to oak, and we look at oak.

let mesh: TestMesh
let oak: PeerId, elm: PeerId, ash: PeerId

beforeEach(() => {
  mesh = new TestMesh()
  ;[oak, elm, ash] = mesh.startAll('oak', 'elm', 'ash') as [PeerId, PeerId, PeerId]
  mesh.run(5_000)
})

const say = (...updates: MemberUpdate[]): void => mesh.inject(elm, oak, { type: 'gossip', updates })
const rejected = (): number => mesh.machine(oak).snapshot(mesh.nowMs).rejected

test.each([-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 32 + 2, Number.MAX_SAFE_INTEGER, 2 ** 53])(
  'an incarnation of %d is refused',
  (incarnation) => {
    say(rumor(ash, 'dead', incarnation, elm), rumor(oak, 'dead', incarnation, elm))
    expect(rejected()).toBe(2)
    expect(mesh.view(oak, ash)).toMatchObject({ state: 'alive', incarnation: 1 })
    expect(mesh.view(oak, oak)).toMatchObject({ state: 'alive', incarnation: 1 })
  },
)

test('the greatest leap that is believed can still be refuted', () => {
  say(rumor(oak, 'dead', 2 ** 32 + 1, elm))
  expect(mesh.view(oak, oak)?.incarnation).toBe(2 ** 32 + 2)
  expect(rejected()).toBe(0)
})

test('a rumor about nobody we know is refused unless it says who that is', () => {
  const { facts: _, ...nameless } = rumor(peerOf('fir'), 'alive', 1, elm)
  say(nameless)
  expect([rejected(), mesh.state(oak, peerOf('fir'))]).toEqual([1, undefined])
  say(rumor(peerOf('fir'), 'dead', 3, elm))
  expect([rejected(), mesh.state(oak, peerOf('fir'))]).toEqual([1, 'dead'])
})

test('a message with too many updates is refused whole', () => {
  const many = Array.from({ length: limits.updatesPerMessageMax + 1 }, (_, i) =>
    rumor(peerOf(`peer${i}`), 'alive', 1, elm),
  )
  say(...many)
  expect(rejected()).toBe(1)
  expect(mesh.machine(oak).registryView().peers).toHaveLength(3)
})

test('members beyond the bound are refused', () => {
  for (let i = 0; i < limits.membersMax; i += limits.updatesPerMessageMax) {
    say(...Array.from({ length: limits.updatesPerMessageMax }, (_, j) => rumor(peerOf(`p${i + j}`), 'left', 1, elm)))
  }
  expect(mesh.machine(oak).registryView().peers).toHaveLength(limits.membersMax)
  expect(rejected()).toBe(3)
})

test('an ack or nack of another than was asked, or to another question, ends no probe', () => {
  mesh = new TestMesh({ ...membershipProfiles.lan, indirectProbes: 1 })
  const [, , , fir] = mesh.startAll('oak', 'elm', 'ash', 'fir') as [PeerId, PeerId, PeerId, PeerId]
  mesh.run(5_000)
  mesh.isCut = (a, b) => a === ash || b === ash
  mesh.sent.length = 0
  const request = () => mesh.sent.find(({ from, message }) => from === oak && message.type === 'pingRequest')
  mesh.runUntil(() => request() !== undefined, 5_000)
  const helper = request()?.to ?? oak
  const bystander = helper === elm ? fir : elm
  const probes = () => mesh.machine(oak).snapshot(mesh.nowMs).probes
  const before = probes()
  expect(before).toMatchObject([{ peer: 'ash', phase: 'indirect' }])
  const message = request()?.message
  const ref = message !== undefined && 'ref' in message ? message.ref : 0
  for (const type of ['ack', 'nack'] as const) {
    mesh.inject(bystander, oak, { type, ref, updates: [] })
    mesh.inject(helper, oak, { type, ref: ref + 1, updates: [] })
  }
  expect(probes()).toEqual(before)
  mesh.inject(helper, oak, { type: 'ack', ref, updates: [] })
  expect(probes()).toEqual([])
})

test('a frame that comes without a link is nobody’s', () => {
  mesh.inject(peerOf('stranger'), oak, { type: 'gossip', updates: [rumor(ash, 'dead', 9, elm)] })
  expect(mesh.view(oak, ash)).toMatchObject({ state: 'alive', incarnation: 1 })
})

test('asking for the full state again and again is not answered each time', () => {
  const states = () => mesh.sent.filter(({ from, message }) => from === oak && message.type.startsWith('pushPull'))
  mesh.runUntil(() => mesh.nowMs - (states().at(-1)?.atMs ?? 0) > membershipProfiles.lan.probeIntervalMs, 60_000)
  mesh.sent.length = 0
  for (let i = 0; i < 20; i++)
    mesh.inject(elm, oak, { type: 'pushPull', members: [], standing: 'merged', reply: true, more: false })
  expect(states()).toHaveLength(1)
})

test('comparing tables that differ, again and again, is not answered each time', () => {
  const answers = () => mesh.sent.filter(({ from, message }) => from === oak && message.type.startsWith('pushPull'))
  mesh.runUntil(() => mesh.nowMs - (answers().at(-1)?.atMs ?? 0) > membershipProfiles.lan.probeIntervalMs, 60_000)
  mesh.sent.length = 0
  for (let i = 0; i < 200; i++) {
    const buckets = i
      .toString(16)
      .padStart(8, '0')
      .repeat(16 * (1 + (i % 16)))
    mesh.inject(elm, oak, { type: 'pushPullDigest', buckets, standing: 'merged', reply: true })
  }
  expect(answers().map(({ message }) => message.type)).toEqual(['pushPullDigest', 'pushPull'])
})

test('a flood of forged suspicions, of ever later incarnations, kills nobody and is not multiplied', () => {
  mesh.sent.length = 0
  mesh.changes.length = 0
  const ticks = 1_000
  for (let i = 0; i < ticks; i++) {
    const incarnation = (peer: PeerId): number => (mesh.view(oak, peer)?.incarnation ?? 0) + (i % 3)
    say(...[oak, ash].map((peer) => ({ ...rumor(peer, 'suspect', incarnation(peer), elm), confirmedBy: [ash, oak] })))
    mesh.run(20)
  }
  expect(mesh.changes.filter(({ to }) => to === 'dead')).toEqual([])
  mesh.run(10_000)
  expect(mesh.allSee([oak, elm, ash], [oak, elm, ash], 'alive')).toBe(true)
  // An answer, a word to the one accused, and gossip at its own pace.
  const { gossipIntervalMs, gossipFanout } = membershipProfiles.lan
  const gossip = mesh.sent.filter(({ from, message }) => from === oak && message.type === 'gossip')
  expect(gossip.length).toBeLessThan(2 * ticks + (gossipFanout * mesh.nowMs) / gossipIntervalMs)
})

describe('facts of a member that are said again and again', () => {
  const fir = peerOf('fir')
  const sayFacts = (counter: number, zone = ''): void =>
    say({ ...rumor(fir, 'alive', 1, elm), facts: { ...factsOf('fir', counter), zone } })

  test('under ever higher counters are neither persisted nor spread nor a reason to dial', () => {
    sayFacts(0)
    mesh.run(5_000)
    const before = { writes: mesh.writes.length, dials: mesh.dials.length }
    for (let counter = 1; counter <= 100; counter++) sayFacts(counter)
    expect({ writes: mesh.writes.length, dials: mesh.dials.length }).toEqual(before)
    expect(
      mesh
        .machine(oak)
        .snapshot(mesh.nowMs)
        .rumors.map(({ name }) => name),
    ).not.toContain('fir')
  })

  test('with ever new contents make us dial no more often than a probe may', () => {
    sayFacts(0)
    mesh.run(5_000)
    mesh.dials.length = 0
    for (let counter = 1; counter <= 1_000; counter++) {
      sayFacts(counter, `zone ${counter}`)
      mesh.run(2)
    }
    const dials = mesh.dials.filter(({ from, to }) => from === oak && to === 'fir:7400')
    expect(dials.length).toBeLessThanOrEqual(2_000 / membershipProfiles.lan.dialBackoffMsMin + 1)
  })
})

test('what others say of our facts under a higher counter is answered with ours under a higher one', () => {
  const lie = { ...factsOf('oak', 7), addresses: ['10.6.6.6:7400'] }
  const updates = [{ ...rumor(oak, 'alive', 1, elm), facts: lie }]
  for (const peer of [oak, ash]) mesh.inject(elm, peer, { type: 'gossip', updates })
  expect(mesh.view(ash, oak)?.addresses).toEqual(lie.addresses)
  mesh.runUntil(
    () => mesh.view(ash, oak)?.incarnation === 1 && mesh.registryOf(ash).some(({ facts }) => facts.counter === 8),
    2_000,
  )
  expect(mesh.view(ash, oak)?.addresses).toEqual(['oak:7400'])
})

test.each([2 ** 32 + 2, Number.MAX_SAFE_INTEGER - 1])(
  'facts under a counter of %d are refused: no answer could top the next',
  (counter) => {
    const facts = { ...factsOf('oak', counter), addresses: ['10.6.6.6:7400'] }
    const updates = [{ ...rumor(oak, 'alive', 1, elm), facts }]
    for (const peer of [oak, ash]) mesh.inject(elm, peer, { type: 'gossip', updates })
    expect(rejected()).toBe(1)
    expect(mesh.view(ash, oak)?.addresses).toEqual(['oak:7400'])
  },
)
