// Goal: a peer and the simulator compute the same hashes. Method: both adapters of `Digests` on the same bytes.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { pureDigests } from '#protocol/log/pure-digests'
import { hexOf } from '#protocol/text'
import { nodeDigests } from './node-digests.ts'

test('Node’s digests and the pure ones agree, also when a CRC-32 is continued', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(0xffffffff), (bytes, value) => {
      expect(nodeDigests.crc32(bytes)).toBe(pureDigests.crc32(bytes))
      expect(nodeDigests.crc32(bytes, value)).toBe(pureDigests.crc32(bytes, value))
      expect(hexOf(nodeDigests.sha256(bytes))).toBe(hexOf(pureDigests.sha256(bytes)))
      expect(nodeDigests.sha256Hex?.(bytes)).toBe(hexOf(pureDigests.sha256(bytes)))
    }),
  )
})
