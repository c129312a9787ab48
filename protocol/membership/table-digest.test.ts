import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { membershipProfiles } from './config.ts'
import { bucketCountFor, bucketLength, tableDigest } from './table-digest.ts'
import type { Belief } from './table-digest.ts'
import { factsOf, peerOf, rumor, TestMesh } from './test-mesh.ts'

// Goal: peers that believe the same say little, others tell what differs and not everything. Method: digests by hand, then two peers.

const belief = (name: string): Belief => {
  const status = { type: 'member', generation: 0 } as const
  return { peer: peerOf(name), claim: { state: 'alive', incarnation: 1 }, facts: factsOf(name), status }
}

test.each([
  [1, 16],
  [256, 16],
  [257, 32],
  [1_000, 64],
  [5_000, 256],
  [8_192, 256],
])('%i members are told by %i buckets', (members, buckets) => {
  expect(bucketCountFor(members)).toBe(buckets)
  expect(tableDigest([], buckets)).toBe('0'.repeat(buckets * bucketLength))
})

test('a digest does not depend on the order of members', () => {
  const names = fc.uniqueArray(fc.stringMatching(/^[a-z]{1,8}$/), { minLength: 1, maxLength: 30 })
  fc.assert(
    fc.property(names, (list) => {
      const beliefs = list.map(belief)
      expect(tableDigest(beliefs.toReversed(), 16)).toBe(tableDigest(beliefs, 16))
    }),
  )
})

describe('a digest is another one', () => {
  const oak = belief('oak')
  test.each([
    ['an incarnation', { ...oak, claim: { state: 'alive', incarnation: 2 } }],
    ['a state', { ...oak, claim: { state: 'suspect', incarnation: 1 } }],
    ['a name', { ...oak, facts: { ...factsOf('oak'), name: 'yew' } }],
    ['an address', { ...oak, facts: { ...factsOf('oak'), addresses: ['oak:7401'] } }],
    ['a zone', { ...oak, facts: { ...factsOf('oak'), zone: 'west' } }],
    ['whether it belongs', { ...oak, status: { type: 'leaving', generation: 0 } }],
    ['since when', { ...oak, status: { type: 'member', generation: 1 } }],
  ] as [string, Belief][])('with %s', (_, other) => {
    expect(tableDigest([other], 16)).not.toBe(tableDigest([oak], 16))
  })

  test('but not with the counter of the same facts, which may have been said again', () => {
    expect(tableDigest([{ ...oak, facts: factsOf('oak', 7) }], 16)).toBe(tableDigest([oak], 16))
  })
})

describe('of two peers with a hundred members', () => {
  const meet = (): { mesh: TestMesh; oak: PeerId; elm: PeerId } => {
    const mesh = new TestMesh()
    const [oak, elm] = mesh.startAll('oak', 'elm') as [PeerId, PeerId]
    mesh.run(5_000)
    const others = Array.from({ length: 100 }, (_, i) => peerOf(`peer${i}`))
    for (const peer of others) {
      const updates = [rumor(peer, 'left', 1, peer)]
      mesh.inject(elm, oak, { type: 'gossip', updates })
      mesh.inject(oak, elm, { type: 'gossip', updates })
    }
    // Each tells each of them a dozen times.
    mesh.run(200_000)
    expect(mesh.machine(oak).snapshot(mesh.nowMs).rumors).toEqual([])
    mesh.sent.length = 0
    return { mesh, oak, elm }
  }
  const told = (mesh: TestMesh): number[] =>
    mesh.sent.flatMap(({ message }) => (message.type === 'pushPull' ? [message.members.length] : []))

  test('who believe the same tell nothing but that', () => {
    const { mesh, oak } = meet()
    mesh.run(200_000)
    expect(mesh.sent.filter(({ message }) => message.type === 'pushPullDigest').length).toBeGreaterThan(1)
    expect(told(mesh)).toEqual([])
    const { pushPulls } = mesh.machine(oak).snapshot(mesh.nowMs)
    expect(pushPulls).toMatchObject([{ name: 'elm' }])
  })

  test('what one has missed is told with its bucket, and not with all', () => {
    const { mesh, oak, elm } = meet()
    mesh.isCut = () => true
    mesh.inject(elm, oak, { type: 'gossip', updates: [rumor(peerOf('peer7'), 'left', 2, peerOf('peer7'))] })
    mesh.runUntil(() => mesh.machine(oak).snapshot(mesh.nowMs).rumors.length === 0, 5_000)
    // What was told last is on its way.
    mesh.run(10)
    mesh.isCut = () => false
    mesh.run(200_000)
    expect(mesh.view(elm, peerOf('peer7'))?.incarnation).toBe(2)
    const members = told(mesh)
    expect(members).toHaveLength(2)
    for (const count of members) expect(count).toBeLessThan(20)
  })

  test('while rumors are under way a few of those that differ are told, once in a probe interval', () => {
    const { mesh, oak, elm } = meet()
    const { probeIntervalMs } = membershipProfiles.lan
    mesh.inject(elm, oak, { type: 'gossip', updates: [rumor(peerOf('peer7'), 'left', 2, peerOf('peer7'))] })
    const ask = (): void =>
      mesh.inject(elm, oak, {
        type: 'pushPullDigest',
        buckets: '00000000'.repeat(16),
        standing: 'merged',
        reply: false,
      })
    const mergedAgoMs = (): number => mesh.machine(elm).snapshot(mesh.nowMs).pushPulls[0]?.agoMs ?? 0
    const beforeMs = mergedAgoMs()
    ask()
    ask()
    expect(told(mesh)).toEqual([limits.membersWhileNewsMax])
    const [sample] = mesh.sent.flatMap(({ message }) => (message.type === 'pushPull' ? message.members : []))
    expect(sample?.peer).not.toBe(peerOf('peer7'))
    mesh.run(100)
    expect(mergedAgoMs()).toBe(beforeMs + 100)
    mesh.run(probeIntervalMs - 99)
    expect(mesh.machine(oak).snapshot(mesh.nowMs).rumors).not.toEqual([])
    ask()
    expect(told(mesh)).toEqual([limits.membersWhileNewsMax, limits.membersWhileNewsMax])
  })
})

test('a peer of a version without digests is told everything that it asks for', () => {
  const mesh = new TestMesh()
  const [oak, elm] = mesh.startAll('oak', 'elm') as [PeerId, PeerId]
  mesh.run(5_000)
  const old = peerOf('old')
  const machine = mesh.machine(oak)
  machine.handle({ type: 'linkUp', peer: old }, mesh.nowMs)
  const members = [{ ...rumor(old, 'alive', 1, old), facts: factsOf('old') }]
  const message = { type: 'pushPull', members, standing: 'seeking', reply: true, more: false } as const
  const effects = machine.handle({ type: 'messageReceived', from: old, message }, mesh.nowMs)
  const states = effects.flatMap((effect) =>
    effect.type === 'send' && effect.message.type === 'pushPull' ? [effect] : [],
  )
  const names = states.flatMap((state) =>
    state.message.type === 'pushPull' ? state.message.members.map(({ peer }) => peer) : [],
  )
  expect(names).toEqual([elm, oak, old].toSorted())
})

test('whoever joins does not tell the mesh what the mesh has told it', () => {
  const mesh = new TestMesh()
  mesh.startAll('oak', 'elm', 'ash')
  mesh.run(10_000)
  const yew = mesh.start('yew', ['oak'])
  mesh.sent.length = 0
  mesh.run(10_000)
  const gossiped = mesh.sent.flatMap(({ from, message }) =>
    from === yew && message.type === 'gossip' ? message.updates : [],
  )
  expect(new Set(gossiped.map(({ peer }) => peer))).toEqual(new Set([yew]))
})
