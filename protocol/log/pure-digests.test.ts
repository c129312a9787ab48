// Goal: the pure digests are the standard ones. Method: against zlib and OpenSSL, around every block boundary.
import { hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { hexOf, utf8 } from '#protocol/text'
import { pureDigests } from './pure-digests.ts'

test('SHA-256 of "abc" is the one of FIPS 180-4', () => {
  expect(hexOf(pureDigests.sha256(utf8('abc')))).toBe(
    'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  )
})

test('CRC-32 of "123456789" is the check value of the catalogues', () => {
  expect(pureDigests.crc32(utf8('123456789'))).toBe(0xcbf43926)
})

test('both agree with Node for every length up to three blocks', () => {
  for (let length = 0; length <= 192; length++) {
    const bytes = Uint8Array.from({ length }, (_, i) => i * 7 + length)
    expect(hexOf(pureDigests.sha256(bytes))).toBe(hash('sha256', bytes))
    expect(pureDigests.crc32(bytes)).toBe(crc32(bytes))
  }
})

test('a CRC-32 can be continued', () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
      expect(pureDigests.crc32(b, pureDigests.crc32(a))).toBe(crc32(Uint8Array.from([...a, ...b])))
    }),
  )
})
