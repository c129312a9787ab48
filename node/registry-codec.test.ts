// What is stored of the registry: it comes back as it was, and what is damaged or beyond every bound is refused as a whole.
import { expect, test } from 'vitest'
import type { PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import type { RegistryEntry } from '#protocol/membership/registry'
import { decodeRegistry, encodeRegistry } from './registry-codec.ts'

const entry = (name: string, type: RegistryEntry['status']['type'], generation = 0): RegistryEntry => ({
  peer: name as PeerId,
  facts: { name, addresses: [`${name}:7400`], http: `http://${name}:8400`, zone: '', counter: 1 },
  addresses: [`${name}:7400`],
  status: { type, generation },
})

test('every status comes back with its generation', () => {
  const entries = [
    entry('oak', 'joining'),
    entry('elm', 'member', 2),
    entry('ash', 'leaving'),
    entry('fir', 'forgotten', 1),
  ]
  expect(decodeRegistry(encodeRegistry(entries))).toEqual(entries)
  expect(decodeRegistry(undefined)).toEqual([])
})

test('a registry of more than there can be, or with a status that nobody knows, is refused', () => {
  const many = Array.from({ length: limits.membersMax + 1 }, (_, i) => entry(`p${i}`, 'member'))
  expect(decodeRegistry(encodeRegistry(many.slice(1)))).toHaveLength(limits.membersMax)
  const odd = encodeRegistry([{ ...entry('oak', 'member'), status: { type: 'retired' as 'member', generation: 0 } }])
  for (const bytes of [encodeRegistry(many), odd, new Uint8Array([1])]) {
    expect(() => decodeRegistry(bytes)).toThrow(expect.objectContaining({ code: 'DATA_UNUSABLE' }))
  }
})
