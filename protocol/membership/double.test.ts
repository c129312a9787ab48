// Goal: a peer notices that another process has its identity, and takes no memory of an earlier run for one. Method: a mesh
// of three in which elm passes on words of oak that oak has not said.
import { beforeEach, expect, test } from 'vitest'
import type { PeerId } from '#protocol/ids'
import type { MembershipEffect } from './membership.ts'
import { factsOf, TestMesh } from './test-mesh.ts'

let mesh: TestMesh
let [oak, elm]: [PeerId, PeerId] = ['oak' as PeerId, 'elm' as PeerId]
beforeEach(() => {
  mesh = new TestMesh()
  ;[oak, elm] = mesh.startAll('oak', 'elm', 'ash') as [PeerId, PeerId]
  mesh.run(5_000)
})

const elsewhere = { ...factsOf('oak', 1), addresses: ['10.0.0.9:7400'] }

/** Oak is told that it has said that it is alive, with one incarnation more than it has. */
function outdone(state: 'alive' | 'suspect' = 'alive'): readonly MembershipEffect[] {
  const incarnation = (mesh.view(elm, oak)?.incarnation ?? 0) + 10
  const by = state === 'alive' ? oak : elm
  const updates = [{ peer: oak, state, incarnation, by, reason: 'started', facts: elsewhere }]
  const effects = mesh.tell(oak, { type: 'messageReceived', from: elm, message: { type: 'gossip', updates } })
  mesh.run(1_000)
  return effects.filter(({ type }) => type === 'doubleNoticed')
}

test('whoever tops its word again and again is a double, told once, with where it is', () => {
  expect([outdone(), outdone(), outdone()].flat()).toEqual([])
  expect(outdone()).toEqual([{ type: 'doubleNoticed', addresses: ['10.0.0.9:7400'] }])
  expect(mesh.machine(oak).snapshot(mesh.nowMs).self).toMatchObject({
    double: { agoMs: 1_000, addresses: ['10.0.0.9:7400'] },
  })
  expect([outdone(), outdone(), outdone()].flat()).toEqual([])
  expect(outdone()).toHaveLength(1)
})

test('a few memories of an earlier run, and accusations as many as there are, are no double', () => {
  for (let n = 0; n < 3; n++) expect(outdone()).toEqual([])
  mesh.run(60_000)
  for (let n = 0; n < 3; n++) expect(outdone()).toEqual([])
  for (let n = 0; n < 20; n++) expect(outdone('suspect')).toEqual([])
  expect(mesh.machine(oak).snapshot(mesh.nowMs).self).not.toHaveProperty('double')
})

test('a member that restarts over and over is not two', () => {
  for (let n = 0; n < 10; n++) {
    mesh.kill(oak)
    mesh.run(500)
    mesh.start('oak')
    mesh.run(2_000)
  }
  expect(mesh.machine(oak).snapshot(mesh.nowMs).self).not.toHaveProperty('double')
})
