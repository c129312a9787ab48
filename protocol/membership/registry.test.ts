import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { limits } from '#protocol/limits'
import type { RegistryStatus } from './messages.ts'
import { Registry } from './registry.ts'
import { factsOf, peerOf } from './test-mesh.ts'

// Goal: no entry is ever lost, the later word of a subject wins, and so does the later word on whether it belongs. Method:
// merges in different orders.

const [oak, elm, ash] = ['oak', 'elm', 'ash'].map(peerOf) as [ReturnType<typeof peerOf>, never, never]

test('facts with the higher counter replace the others, in whatever order they come', () => {
  const words = fc.uniqueArray(fc.record({ counter: fc.nat(20), zone: fc.constantFrom('a', 'b') }), {
    selector: ({ counter }) => counter,
    minLength: 1,
  })
  fc.assert(
    fc.property(words, (list) => {
      const registry = new Registry([])
      for (const word of list) registry.merge(oak, { ...factsOf('oak'), ...word })
      const last = Math.max(...list.map(({ counter }) => counter))
      expect(registry.get(oak)?.facts).toMatchObject(list.find(({ counter }) => counter === last) ?? {})
    }),
  )
})

test('facts that say the same under a higher counter change nothing, and their counter still outranks older words', () => {
  const registry = new Registry([])
  registry.merge(oak, factsOf('oak', 1))
  expect(registry.merge(oak, factsOf('oak', 5))).toBe('none')
  expect(registry.merge(oak, { ...factsOf('oak', 4), zone: 'cellar' })).toBe('none')
  expect(registry.get(oak)?.facts).toEqual(factsOf('oak', 5))
})

test('every address ever learned is kept, newest first, up to the bound', () => {
  const registry = new Registry([])
  for (let i = 0; i < limits.memberAddressesMax + 3; i++) {
    registry.merge(oak, { ...factsOf('oak'), addresses: [`10.0.0.${i}:7400`], counter: i })
  }
  const { addresses } = registry.get(oak) ?? { addresses: [] }
  expect(addresses).toHaveLength(limits.memberAddressesMax)
  expect(addresses.slice(0, 2)).toEqual(['10.0.0.10:7400', '10.0.0.9:7400'])
})

test('the version is equal exactly where the same peers belong, in whatever order they joined', () => {
  const versionOf = (...peers: (typeof oak)[]): string => {
    const registry = new Registry([])
    for (const peer of peers) registry.merge(peer, factsOf(peer))
    return registry.version
  }
  expect(versionOf(oak, elm, ash)).toBe(versionOf(ash, oak, elm))
  expect(new Set([versionOf(), versionOf(oak), versionOf(elm), versionOf(oak, elm), versionOf(oak, ash)]).size).toBe(5)
  expect(versionOf(oak, elm)).toMatch(/^2-[0-9a-f]{8}$/)
})

test('a registry that was read back from disk is the same registry', () => {
  const registry = new Registry([])
  registry.merge(oak, factsOf('oak'))
  registry.merge(elm, factsOf('elm'))
  const again = new Registry(registry.entries())
  expect(again.version).toBe(registry.version)
  expect(again.merge(elm, factsOf('elm'))).toBe('none')
})

test('a full registry takes nobody in, and goes on with those it has', () => {
  const registry = new Registry([])
  for (let i = 0; i < limits.membersMax; i++) registry.merge(peerOf(`peer${i}`), factsOf(`peer${i}`))
  expect(registry.merge(oak, factsOf('oak'))).toBe('full')
  expect(registry.merge(peerOf('peer7'), { ...factsOf('peer7', 1), zone: 'cellar' })).toBe('updated')
  expect(registry.size).toBe(limits.membersMax)
})

test('two of one name are told apart by the ends of their ids; who takes the place of a forgotten peer has its name alone', () => {
  const registry = new Registry([])
  const [one, other] = [peerOf('12D3KooWa1b2c3'), peerOf('12D3KooWd4e5f6')]
  registry.merge(one, factsOf('oak'))
  expect(registry.nameOf(one)).toBe('oak')
  registry.merge(other, factsOf('oak'))
  expect([registry.nameOf(one), registry.nameOf(other)]).toEqual(['oak~a1b2c3', 'oak~d4e5f6'])
  registry.mergeStatus(one, { type: 'forgotten', generation: 0 })
  expect([registry.nameOf(one), registry.nameOf(other)]).toEqual(['oak~a1b2c3', 'oak'])
  expect(registry.nameOf(elm)).toBe(elm)
})

const status = (type: RegistryStatus['type'], generation: number): RegistryStatus => ({ type, generation })

describe('whether a peer belongs', () => {
  const words = fc.record({
    type: fc.constantFrom('member' as const, 'leaving' as const, 'forgotten' as const),
    generation: fc.nat(3),
  })

  const after = (list: readonly RegistryStatus[]): RegistryStatus | undefined => {
    const registry = new Registry([])
    registry.merge(oak, factsOf('oak'))
    for (const word of list) registry.mergeStatus(oak, word)
    return registry.statusOf(oak)
  }

  test('is the same whatever the order, the number and the grouping of the words', () => {
    fc.assert(
      fc.property(words, words, words, (a, b, c) => {
        expect(after([a, b])).toEqual(after([b, a]))
        expect(after([a, a])).toEqual(after([a]))
        const [ab, bc] = [after([a, b]) as RegistryStatus, after([b, c]) as RegistryStatus]
        expect(after([ab, c])).toEqual(after([a, bc]))
      }),
    )
  })

  test('is what the highest generation says, and within that the gravest word', () => {
    expect(after([status('forgotten', 0), status('leaving', 0), status('member', 0)])).toEqual(status('forgotten', 0))
    expect(after([status('forgotten', 0), status('member', 1)])).toEqual(status('member', 1))
    expect(after([status('leaving', 2), status('forgotten', 1)])).toEqual(status('leaving', 2))
  })

  test('shows in who is listed, who counts, and the version', () => {
    const registry = new Registry([])
    for (const name of ['oak', 'elm', 'ash']) registry.merge(peerOf(name), factsOf(name))
    const whole = registry.version
    expect(registry.mergeStatus(elm, status('leaving', 0))).toBe(true)
    expect(registry.mergeStatus(elm, status('leaving', 0))).toBe(false)
    expect([registry.peers(), registry.ofStatus('leaving')]).toEqual([[ash, elm, oak], [elm]])
    const [left, revision] = [registry.version, registry.revision]
    registry.mergeStatus(elm, status('forgotten', 0))
    expect([registry.peers(), registry.known(), registry.size]).toEqual([[ash, oak], [ash, elm, oak], 2])
    expect(new Set([whole, left, registry.version]).size).toBe(3)
    expect(registry.revision).toBe(revision + 1)
    registry.mergeStatus(elm, status('member', 1))
    expect(registry.version).toBe(whole)
  })

  test('is no matter of joining: who waits for its mesh is told all the same, and is not made a member by finding it', () => {
    const registry = new Registry([])
    registry.merge(oak, factsOf('oak'))
    registry.setJoining(oak, true)
    expect([registry.statusOf(oak), registry.belongs(oak)]).toEqual([status('member', 0), true])
    registry.mergeStatus(oak, status('forgotten', 0))
    registry.setJoining(oak, false)
    expect(registry.statusOf(oak)).toEqual(status('forgotten', 0))
  })

  test('takes no room for more: the forgotten count against the bound', () => {
    const registry = new Registry([])
    for (let i = 0; i < limits.membersMax; i++) registry.merge(peerOf(`peer${i}`), factsOf(`peer${i}`))
    registry.mergeStatus(peerOf('peer1'), status('forgotten', 0))
    expect(registry.merge(oak, factsOf('oak'))).toBe('full')
  })
})
