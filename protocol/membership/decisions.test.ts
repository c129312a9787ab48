// Goal: an operator's word on who belongs reaches everybody, and holds. Method: meshes of five, told to forget, decommission
// and admit members, in one piece and cut in two.
import { beforeEach, describe, expect, test } from 'vitest'
import type { PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import type { MembershipEffect } from './membership.ts'
import type { RegistryEdit } from './registry-edit.ts'
import { peerOf, rumor, TestMesh } from './test-mesh.ts'

const names = ['oak', 'elm', 'ash', 'fir', 'yew']
const all = names.map(peerOf)
const [oak, elm, ash, fir, yew] = all as [PeerId, PeerId, PeerId, PeerId, PeerId]
const four = [oak, elm, ash, fir]

let mesh: TestMesh
beforeEach(() => {
  mesh = new TestMesh()
  mesh.startAll(...names)
  mesh.run(5_000)
})

const answerTo = (at: PeerId, edit: RegistryEdit): MembershipEffect | undefined =>
  mesh.tell(at, { type: 'registryEdited', ref: 7, edit }).find((effect) => effect.type.startsWith('registry'))
const forget = (at: PeerId, peer: PeerId, force = false) => answerTo(at, { type: 'forget', peer, force })
const admit = (at: PeerId, peer: PeerId) => answerTo(at, { type: 'admit', peer })
const decommission = (at: PeerId, peer: PeerId) => answerTo(at, { type: 'decommission', peer })

const statusOf = (at: PeerId, peer: PeerId) => mesh.machine(at).statusOf(peer)
const allSay = (at: readonly PeerId[], peer: PeerId, type: string, generation = 0): boolean =>
  at.every((one) => statusOf(one, peer)?.type === type && statusOf(one, peer)?.generation === generation)

describe('a member that is gone', () => {
  beforeEach(() => {
    mesh.kill(yew)
    mesh.run(30_000)
  })

  test('is forgotten by everybody, on disk too, and not dialed any more', () => {
    expect(forget(oak, yew)).toEqual({ type: 'registrySettled', ref: 7, status: { type: 'forgotten', generation: 0 } })
    expect(mesh.runUntil(() => allSay(four, yew, 'forgotten'), 5_000)).toBeLessThan(1_000)
    for (const peer of four) {
      expect(mesh.machine(peer).registryView()).toMatchObject({ peers: four.toSorted(), forgotten: [yew] })
      expect(mesh.registryOf(peer).find((entry) => entry.peer === yew)?.status.type).toBe('forgotten')
    }
    expect(new Set(four.map((peer) => mesh.machine(peer).registryView().version)).size).toBe(1)
    mesh.dials.length = 0
    mesh.run(120_000)
    expect(mesh.dials).toEqual([])
    const { members, forgotten } = mesh.machine(oak).snapshot(mesh.nowMs)
    expect([members.length, forgotten.map(({ id, status }) => [id, status])]).toEqual([4, [[yew, 'forgotten']]])
  })

  test('stays forgotten for who was away meanwhile, for who joins later, and after restarts', () => {
    mesh.kill(fir)
    forget(oak, yew)
    mesh.run(1_000)
    mesh.start('fir')
    mesh.start('bay', ['fir'])
    mesh.kill(oak)
    mesh.start('oak')
    const bay = peerOf('bay')
    expect(mesh.runUntil(() => allSay([...four, bay], yew, 'forgotten'), 60_000)).toBeLessThan(20_000)
    expect(mesh.machine(bay).registryView().peers).toHaveLength(5)
  })

  test('stays so when the whole mesh was switched off since, and is told of to who joins then', () => {
    forget(oak, yew)
    mesh.run(1_000)
    for (const peer of four) mesh.kill(peer)
    for (const peer of four) mesh.start(peer)
    mesh.start('bay', ['oak'])
    expect(mesh.runUntil(() => allSay([peerOf('bay')], yew, 'forgotten'), 20_000)).toBeLessThan(5_000)
  })

  test('may come back to hand over: it is told, stays linked, and is nobody to the others', () => {
    forget(oak, yew)
    mesh.run(1_000)
    mesh.start('yew')
    mesh.runUntil(() => allSay([yew], yew, 'forgotten'), 10_000)
    mesh.run(60_000)
    expect(four.some((peer) => mesh.isLinked(peer, yew))).toBe(true)
    expect(mesh.machine(oak).registryView().peers).toEqual(four.toSorted())
    expect(mesh.machine(yew).registryView().forgotten).toEqual([yew])
    mesh.dials.length = 0
    mesh.kill(yew)
    mesh.run(30_000)
    expect(mesh.dials).toEqual([])
    mesh.start('yew')
    expect(statusOf(yew, yew)?.type).toBe('forgotten')
  })

  test('belongs again when it is admitted, with a generation that no old rumor outranks', () => {
    forget(oak, yew)
    mesh.run(1_000)
    expect(admit(elm, yew)).toMatchObject({ type: 'registrySettled', status: { type: 'member', generation: 1 } })
    mesh.run(1_000)
    mesh.start('yew')
    mesh.runUntil(() => mesh.allSee(all, all, 'alive'), 20_000)
    expect(allSay(all, yew, 'member', 1)).toBe(true)
    mesh.closeLink(oak, elm, 'broken')
    mesh.run(60_000)
    expect(allSay(all, yew, 'member', 1)).toBe(true)
  })
})

describe('an operator is refused', () => {
  test('who would forget a member that is alive, unless by force', () => {
    expect(forget(oak, yew)).toMatchObject({ type: 'registryRefused', code: 'MEMBER_ALIVE' })
    expect(forget(oak, yew, true)).toMatchObject({ type: 'registrySettled' })
    mesh.runUntil(() => allSay(all, yew, 'forgotten'), 5_000)
    expect(forget(oak, yew)).toMatchObject({ type: 'registrySettled' })
  })

  test('who names nobody', () => {
    const nobody = peerOf('nobody')
    for (const answer of [forget(oak, nobody), admit(oak, nobody), decommission(oak, nobody)]) {
      expect(answer).toMatchObject({ type: 'registryRefused', code: 'MEMBER_NOT_FOUND' })
    }
  })

  test('who would let the last one go', () => {
    for (const peer of [elm, ash, fir]) forget(oak, peer, true)
    decommission(oak, yew)
    for (const answer of [decommission(oak, oak), forget(oak, oak, true)]) {
      expect(answer).toMatchObject({ type: 'registryRefused', code: 'LAST_MEMBER' })
    }
    expect(forget(oak, yew, true)).toMatchObject({ type: 'registrySettled' })
  })
})

describe('a member that is decommissioned', () => {
  test('leaves, told at any other, and is forgotten when it has handed over', () => {
    decommission(oak, yew)
    mesh.runUntil(() => allSay(all, yew, 'leaving'), 5_000)
    expect(mesh.machine(elm).registryView()).toMatchObject({ peers: all.toSorted(), leaving: [yew] })
    mesh.tell(yew, { type: 'handedOver' })
    expect(mesh.runUntil(() => allSay(all, yew, 'forgotten'), 5_000)).toBeLessThan(1_000)
  })

  test('goes on leaving after a restart, and stays if it is admitted again', () => {
    decommission(yew, yew)
    mesh.run(1_000)
    mesh.kill(yew)
    mesh.start('yew')
    expect(statusOf(yew, yew)?.type).toBe('leaving')
    mesh.run(5_000)
    admit(oak, yew)
    mesh.runUntil(() => allSay(all, yew, 'member', 1), 5_000)
    mesh.tell(yew, { type: 'handedOver' })
    mesh.run(5_000)
    expect(allSay(all, yew, 'member', 1)).toBe(true)
  })

  test('of nobody else handing over makes anything', () => {
    mesh.tell(oak, { type: 'handedOver' })
    expect(statusOf(oak, oak)).toEqual({ type: 'member', generation: 0 })
  })
})

test('two sides that decided differently agree after the heal: the admission on one side outranks both', () => {
  const left = new Set([oak, elm])
  mesh.isCut = (a, b) => left.has(a) !== left.has(b)
  mesh.run(60_000)
  decommission(oak, yew)
  forget(ash, yew, true)
  forget(fir, elm)
  mesh.run(1_000)
  admit(fir, yew)
  mesh.run(10_000)
  expect([statusOf(elm, yew)?.type, statusOf(ash, yew)?.type]).toEqual(['leaving', 'member'])
  mesh.isCut = () => false
  mesh.runUntil(() => allSay(all, yew, 'member', 1) && allSay(all, elm, 'forgotten'), 60_000)
  mesh.run(60_000)
  expect(new Set(all.map((peer) => mesh.machine(peer).registryView().version)).size).toBe(1)
})

test('a word of another world is refused: nobody is admitted as often as that', () => {
  const absurd = { ...rumor(yew, 'alive', 1, yew), status: { type: 'forgotten', generation: 2 ** 40 } } as const
  const before = mesh.machine(oak).snapshot(mesh.nowMs).rejected
  mesh.tell(oak, { type: 'messageReceived', from: elm, message: { type: 'gossip', updates: [absurd] } })
  expect(mesh.machine(oak).snapshot(mesh.nowMs).rejected).toBe(before + 1)
  expect(statusOf(oak, yew)).toEqual({ type: 'member', generation: 0 })
})

test('a registry of a million strangers is refused beyond the bound, page by page, whatever they are', () => {
  const page = (n: number) =>
    Array.from({ length: limits.membersPerMessageMax }, (_, i) => {
      return { ...rumor(peerOf(`p${n}x${i}`), 'dead', 1, elm), status: { type: 'forgotten', generation: 0 } as const }
    })
  for (let n = 0; n < limits.membersMax / limits.membersPerMessageMax + 10; n++) {
    const message = { type: 'pushPull', members: page(n), standing: 'merged', reply: false, more: true } as const
    mesh.tell(oak, { type: 'messageReceived', from: elm, message })
  }
  expect(mesh.registryOf(oak)).toHaveLength(limits.membersMax)
  expect(mesh.machine(oak).registryView().peers).toEqual(all.toSorted())
})
