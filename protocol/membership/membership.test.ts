import { beforeEach, describe, expect, test } from 'vitest'
import type { PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { factsOf, peerOf, rumor, TestMesh } from './test-mesh.ts'

// Goal: the promises of SWIM at five members. Method: whole machines on virtual time, joined by links of one millisecond.

describe('five members', () => {
  let mesh: TestMesh
  let all: PeerId[]
  let oak: PeerId, elm: PeerId, ash: PeerId, fir: PeerId, yew: PeerId

  beforeEach(() => {
    mesh = new TestMesh()
    all = mesh.startAll('oak', 'elm', 'ash', 'fir', 'yew')
    ;[oak, elm, ash, fir, yew] = all as [PeerId, PeerId, PeerId, PeerId, PeerId]
    mesh.run(10_000)
  })

  const others = (...not: PeerId[]): PeerId[] => all.filter((peer) => !not.includes(peer))

  test('find each other through one seed, link fully and agree on who belongs', () => {
    expect(mesh.allSee(all, all, 'alive')).toBe(true)
    for (const a of all) for (const b of others(a)) expect(mesh.isLinked(a, b)).toBe(true)
    const views = all.map((peer) => mesh.machine(peer).registryView())
    expect(new Set(views.map(({ version }) => version)).size).toBe(1)
    expect(views.every(({ merged, peers }) => merged && peers.length === 5)).toBe(true)
    expect(mesh.changes.some(({ to }) => to !== 'alive')).toBe(false)
  })

  test('stay quiet and alive for ten minutes', () => {
    mesh.changes.length = 0
    mesh.run(600_000)
    expect(mesh.changes).toEqual([])
  })

  test('suspect a killed process everywhere well under 2 s, and call it dead after the suspicion timeout', () => {
    mesh.kill(yew)
    expect(mesh.runUntil(() => mesh.allSee(others(yew), [yew], 'suspect'), 2_000)).toBeLessThan(1_000)
    expect(mesh.view(oak, yew)?.reason).toMatch(/^link closed by its process, no answer to \d indirect probes$/)
    const deadAfterMs = mesh.runUntil(() => mesh.allSee(others(yew), [yew], 'dead'), 6_000)
    expect(deadAfterMs).toBeGreaterThan(3_000)
    expect(deadAfterMs).toBeLessThan(5_000)
  })

  test('suspect a silent member although its links stay up, name the accusers, and then close the links', () => {
    mesh.isCut = (a, b) => a === yew || b === yew
    mesh.runUntil(() => mesh.allSee(others(yew), [yew], 'suspect'), 5_000)
    const view = mesh.view(oak, yew)
    expect(view?.suspectedBy?.length).toBeGreaterThan(0)
    expect(view?.deadInMs).toBeGreaterThan(0)
    mesh.runUntil(() => mesh.allSee(others(yew), [yew], 'dead'), 6_000)
    mesh.run(10)
    for (const peer of others(yew)) expect(mesh.isLinked(peer, yew)).toBe(false)
  })

  test('hear a wrongly accused member refute with a higher incarnation', () => {
    mesh.inject(oak, elm, {
      type: 'gossip',
      updates: [{ peer: yew, state: 'suspect', incarnation: 1, by: oak, reason: 'a slip' }],
    })
    expect(mesh.state(elm, yew)).toBe('suspect')
    mesh.runUntil(() => mesh.view(elm, yew)?.incarnation === 2, 2_000)
    mesh.runUntil(() => mesh.allSee(all, [yew], 'alive'), 2_000)
    expect(mesh.view(elm, yew)?.reason).toBe('refuted with incarnation 2')
    expect(mesh.changes.some(({ to }) => to === 'dead')).toBe(false)
  })

  test('learn at once that a member left, and do not hurry after it', () => {
    mesh.leave(yew)
    expect(mesh.runUntil(() => mesh.allSee(others(yew), [yew], 'left'), 1_000)).toBeLessThan(100)
    mesh.dials.length = 0
    mesh.sent.length = 0
    mesh.closeLink(yew, oak, 'closed')
    mesh.run(2_400)
    expect(mesh.dials).toEqual([])
    expect(mesh.sent.filter(({ from, message }) => from === yew && message.type === 'ping')).toEqual([])
    mesh.kill(yew)
    expect(mesh.allSee(others(yew), [yew], 'left')).toBe(true)
    mesh.run(60_000)
    expect(mesh.dials.length).toBeGreaterThan(0)
    expect(mesh.view(oak, yew)).toMatchObject({ state: 'left', reason: 'left', incarnation: 2 })
  })

  test('take a member that left back when it starts again', () => {
    mesh.leave(yew)
    mesh.run(1_000)
    mesh.kill(yew)
    mesh.run(60_000)
    mesh.start('yew')
    expect(mesh.runUntil(() => mesh.allSee(all, all, 'alive'), 10_000)).toBeLessThan(2_000)
  })

  test('split for longer than every suspicion timeout call each other dead, and are whole again after the heal', () => {
    const left = new Set([oak, elm])
    mesh.isCut = (a, b) => left.has(a) !== left.has(b)
    mesh.run(60_000)
    expect(mesh.allSee([oak, elm], [ash, fir, yew], 'dead')).toBe(true)
    expect(mesh.allSee([ash, fir, yew], [oak, elm], 'dead')).toBe(true)
    expect(mesh.allSee([ash, fir, yew], [ash, fir, yew], 'alive')).toBe(true)
    expect(mesh.machine(oak).registryView().peers).toHaveLength(5)
    mesh.isCut = () => false
    mesh.runUntil(() => mesh.allSee(all, all, 'alive'), 10_000)
    mesh.changes.length = 0
    mesh.run(60_000)
    expect(mesh.changes).toEqual([])
    for (const a of all) for (const b of others(a)) expect(mesh.isLinked(a, b)).toBe(true)
  })

  test('find a member again after an hour of silence', () => {
    mesh.isCut = (a, b) => a === yew || b === yew
    mesh.run(3_600_000)
    expect(mesh.allSee(others(yew), [yew], 'dead')).toBe(true)
    mesh.isCut = () => false
    expect(mesh.runUntil(() => mesh.allSee(all, all, 'alive'), 10_000)).toBeLessThan(8_000)
  })

  test('know a crashed member again at once when it comes back with the registry it had', () => {
    mesh.kill(yew)
    mesh.run(30_000)
    expect(mesh.registryOf(yew)).toHaveLength(5)
    mesh.start('yew')
    expect(mesh.machine(yew).registryView()).toMatchObject({ merged: true })
    expect(mesh.runUntil(() => mesh.allSee(all, all, 'alive'), 5_000)).toBeLessThan(1_000)
    expect(mesh.view(oak, yew)?.incarnation).toBeGreaterThan(1)
  })

  test('do not accuse others after their own event loop was blocked', () => {
    mesh.changes.length = 0
    mesh.pause(oak, 2_500)
    mesh.run(20_000)
    expect(mesh.changes.filter(({ by }) => by === oak && by !== undefined).filter(({ to }) => to !== 'alive')).toEqual(
      [],
    )
    expect(mesh.allSee(all, all, 'alive')).toBe(true)
  })

  test('indirect probes keep a member alive that only some can reach', () => {
    mesh.isCut = (a, b) => (a === oak && b === yew) || (a === yew && b === oak)
    mesh.changes.length = 0
    mesh.run(120_000)
    expect(mesh.changes).toEqual([])
  })
})

test('who missed every rumor learns from a full state', () => {
  const mesh = new TestMesh()
  const [oak, elm, ash] = mesh.startAll('oak', 'elm', 'ash') as [PeerId, PeerId, PeerId]
  mesh.run(5_000)
  mesh.isCut = () => true
  mesh.inject(elm, oak, { type: 'gossip', updates: [rumor(peerOf('fir'), 'left', 1, elm)] })
  mesh.runUntil(() => mesh.machine(oak).snapshot(mesh.nowMs).rumors.length === 0, 600)
  mesh.run(10)
  mesh.isCut = () => false
  mesh.run(1_000)
  expect([elm, ash].map((peer) => mesh.state(peer, peerOf('fir')))).toEqual([undefined, undefined])
  mesh.runUntil(() => mesh.allSee([elm, ash], [peerOf('fir')], 'left'), 90_000)
})

test('a large full state goes page by page, each when the one before it has been read', () => {
  const mesh = new TestMesh()
  const oak = mesh.start('oak')
  const elm = mesh.start('elm', ['oak'])
  mesh.run(5_000)
  const others = Array.from({ length: 150 }, (_, i) => peerOf(`peer${i}`))
  const { updatesPerMessageMax: size } = limits
  for (let at = 0; at < others.length; at += size) {
    const updates = others.slice(at, at + size).map((peer) => rumor(peer, 'left', 1, elm))
    mesh.inject(elm, oak, { type: 'gossip', updates })
  }
  const fir = mesh.start('fir', ['oak'])
  mesh.sent.length = 0
  mesh.runUntil(() => mesh.allSee([fir], others, 'left'), 1_000)
  const paging = mesh.sent.flatMap(({ from, to, message }) => {
    if (from === oak && to === fir && message.type === 'pushPull') return message.members.length
    return from === fir && to === oak && message.type === 'pushPullMore' ? 'read' : []
  })
  // Of oak, elm and the 150 others.
  expect(paging).toEqual([64, 'read', 64, 'read', 24])
})

test('a full state with an old opinion of death kills nobody: the member is suspected, and refutes', () => {
  const mesh = new TestMesh()
  const [oak, elm, ash] = mesh.startAll('oak', 'elm', 'ash') as [PeerId, PeerId, PeerId]
  mesh.run(5_000)
  mesh.changes.length = 0
  const members = [rumor(ash, 'dead', 1, elm)]
  mesh.inject(elm, oak, { type: 'pushPull', members, standing: 'merged', reply: false, more: false })
  mesh.run(5_000)
  const seen = mesh.changes.filter(({ at }) => at === oak).map(({ peer, to }) => `${peer} ${to}`)
  expect(seen).toEqual(['ash suspect', 'ash alive'])
  expect(mesh.isLinked(oak, ash)).toBe(true)
})

test.each([
  ['with its disk', undefined],
  ['without its disk', []],
])('a peer that starts again at another address, %s, is known by it everywhere', (_, registry) => {
  const mesh = new TestMesh()
  const [oak, elm, ash] = mesh.startAll('oak', 'elm', 'ash') as [PeerId, PeerId, PeerId]
  mesh.run(5_000)
  mesh.kill(ash)
  mesh.run(1_000)
  const facts = { ...factsOf('ash'), http: 'http://ash:9999' }
  mesh.start('ash', ['oak'], { facts, ...(registry && { registry }) })
  mesh.runUntil(() => [oak, elm].every((peer) => mesh.view(peer, ash)?.http === 'http://ash:9999'), 5_000)
  expect(mesh.machine(oak).registryView().peers).toHaveLength(3)
})

test('a peer that joins nobody keeps trying until somebody is there', () => {
  const mesh = new TestMesh()
  const oak = mesh.start('oak', ['elm'])
  mesh.run(600_000)
  expect(mesh.machine(oak).registryView()).toMatchObject({ merged: false, peers: [oak] })
  const elm = mesh.start('elm')
  expect(mesh.runUntil(() => mesh.allSee([oak, elm], [oak, elm], 'alive'), 10_000)).toBeLessThan(6_000)
  mesh.runUntil(() => mesh.machine(oak).registryView().merged, 10)
})

test('a seed that was missing is found although others joined meanwhile', () => {
  const mesh = new TestMesh()
  const oak = mesh.start('oak', ['elm'])
  const ash = mesh.start('ash', ['oak'])
  mesh.run(60_000)
  expect(mesh.allSee([oak, ash], [oak, ash], 'alive')).toBe(true)
  const elm = mesh.start('elm')
  mesh.runUntil(() => mesh.allSee([oak, ash, elm], [oak, ash, elm], 'alive'), 60_000)
})
