import fc from 'fast-check'
import { expect, test } from 'vitest'
import { limits } from '#protocol/limits'
import { Registry } from './registry.ts'
import { factsOf, peerOf } from './test-mesh.ts'

// Goal: who belongs is only ever added to, and the later word of a subject wins. Method: merges in different orders.

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
