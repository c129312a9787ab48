import { describe, expect, test } from 'vitest'
import type { PeerId } from '#protocol/ids'
import { membershipProfiles } from './config.ts'
import { nextStanding } from './standing.ts'
import { factsOf, TestMesh } from './test-mesh.ts'

// Goal: nobody counts acks against a registry that is not yet that of its mesh. Method: the rule as a table, then meshes
// that are born, and joiners that meet each other before they meet the mesh.

test.each([
  ['seeking', false, []],
  ['seeking', false, ['founding', 'seeking']],
  ['founding', true, []],
  ['founding', true, ['founding', 'seeking']],
  ['founding', true, ['founding', undefined]],
  ['merged', true, ['founding', 'founding']],
  ['merged', true, ['merged', undefined]],
  ['merged', false, ['seeking', 'merged']],
] as const)('we are %s if that our seeds are reached is %j, and others say %j', (expected, seedsReached, others) => {
  expect(nextStanding({ seedsReached, others })).toBe(expected)
})

const merged = (mesh: TestMesh, ...peers: PeerId[]): boolean[] =>
  peers.map((peer) => mesh.machine(peer).registryView().merged)

const allMerged = (mesh: TestMesh, ...peers: PeerId[]): boolean => merged(mesh, ...peers).every(Boolean)

describe('a mesh is born', () => {
  test('of five that were started with one list of all, once the last of them is up', () => {
    const names = ['oak', 'elm', 'ash', 'fir', 'yew']
    const mesh = new TestMesh()
    const four = names.slice(0, 4).map((name) => mesh.start(name, names))
    mesh.run(120_000)
    expect(merged(mesh, ...four)).toEqual([false, false, false, false])
    const all = [...four, mesh.start('yew', names)]
    mesh.runUntil(() => allMerged(mesh, ...all), 2_000)
    expect(all.map((peer) => mesh.machine(peer).registryView().peers.length)).toEqual([5, 5, 5, 5, 5])
  })

  test('of two that name each other', () => {
    const mesh = new TestMesh()
    const [oak, elm] = [mesh.start('oak', ['elm']), mesh.start('elm', ['oak'])]
    mesh.runUntil(() => allMerged(mesh, oak, elm), 1_000)
  })

  test('of one whose only seed is its own address', () => {
    const mesh = new TestMesh()
    expect(merged(mesh, mesh.start('oak', ['oak']))).toEqual([true])
  })

  test('with the first joiner, of one whose only seed is another name of itself: it may lead to others some day', () => {
    const mesh = new TestMesh()
    const oak = mesh.start('oak', ['oak'], { facts: { ...factsOf('oak'), addresses: ['oak:7411'] } })
    mesh.run(60_000)
    expect(merged(mesh, oak)).toEqual([false])
    const elm = mesh.start('elm', ['oak'])
    mesh.runUntil(() => allMerged(mesh, oak, elm), membershipProfiles.lan.dialTimeoutMs + 10)
  })

  test('of peers that are known by other names than their seeds have', () => {
    const named = (name: string) => ({ facts: { ...factsOf(name), addresses: [`${name}:7411`] } })
    const mesh = new TestMesh()
    const all = ['oak', 'elm', 'ash'].map((name) => mesh.start(name, ['oak', 'elm', 'ash'], named(name)))
    mesh.runUntil(() => allMerged(mesh, ...all), 60_000)
  })

  test('although a joiner whose seeds were missing is gone again', () => {
    const mesh = new TestMesh()
    const [oak, ash] = [mesh.start('oak', ['elm']), mesh.start('ash', ['oak', 'fir'])]
    const elm = mesh.start('elm', ['oak'])
    mesh.run(30_000)
    expect(merged(mesh, oak, elm)).toEqual([false, false])
    mesh.kill(ash)
    mesh.runUntil(() => allMerged(mesh, oak, elm), 10_000)
  })
})

describe('joiners that meet before they have met the mesh', () => {
  test('are not merged by each other, along a chain of seeds, but by the mesh', () => {
    const mesh = new TestMesh()
    const joiners = [mesh.start('oak', ['bay']), mesh.start('elm', ['oak']), mesh.start('ash', ['elm'])]
    mesh.run(120_000)
    expect(mesh.allSee(joiners, joiners, 'alive')).toBe(true)
    expect(merged(mesh, ...joiners)).toEqual([false, false, false])
    const isJoiner = (peer: PeerId): boolean => joiners.includes(peer)
    mesh.isCut = (a, b) => isJoiner(a) !== isJoiner(b)
    mesh.startAll('bay', 'box', 'fig')
    mesh.run(10_000)
    mesh.isCut = () => false
    mesh.runUntil(() => merged(mesh, ...joiners).some(Boolean), 60_000)
    for (const joiner of joiners.filter((peer) => allMerged(mesh, peer))) {
      expect(mesh.machine(joiner).registryView().peers).toHaveLength(6)
    }
    mesh.runUntil(() => allMerged(mesh, ...joiners), 10)
  })

  test('are not merged by a restart either', () => {
    const mesh = new TestMesh()
    const [oak, elm] = [mesh.start('oak', ['bay']), mesh.start('elm', ['oak'])]
    mesh.run(10_000)
    mesh.kill(elm)
    mesh.start('elm', ['oak'])
    mesh.run(10_000)
    expect(mesh.registryOf(elm).map(({ peer }) => peer)).toEqual([elm, oak])
    expect(merged(mesh, oak, elm)).toEqual([false, false])
  })
})

test('who was merged is so again after a restart, also while nobody else is there', () => {
  const mesh = new TestMesh()
  const [oak, elm] = [mesh.start('oak', ['elm']), mesh.start('elm', ['oak'])]
  mesh.run(10_000)
  for (const peer of [oak, elm]) mesh.kill(peer)
  mesh.start('oak', ['elm'])
  expect(merged(mesh, oak)).toEqual([true])
})

test('a standing is told once: full states do not multiply when a mesh is born', () => {
  const mesh = new TestMesh({ ...membershipProfiles.lan, pushPullIntervalMs: 1_000_000 })
  const names = ['oak', 'elm', 'ash', 'fir', 'yew']
  const all = names.map((name) => mesh.start(name, names))
  mesh.runUntil(() => allMerged(mesh, ...all), 2_000)
  mesh.run(1_000)
  const states = mesh.sent.filter(({ message }) => message.type === 'pushPull')
  const pairs = all.length * (all.length - 1)
  expect(states.length).toBeLessThanOrEqual(3 * pairs)
})
