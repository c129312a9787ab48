// Goal: bytes and texts convert as everywhere else. Method: against Node's Buffer, and texts that are none.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { base64urlOf, bytesOfBase64url, bytesOfHex, hexOf, textOf, utf8 } from './text.ts'

test('hex, base64url and UTF-8 are those of Buffer, both ways', () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.string({ unit: 'grapheme' }), (bytes, text) => {
      const buffer = Buffer.from(bytes)
      expect(hexOf(bytes)).toBe(buffer.toString('hex'))
      expect(bytesOfHex(buffer.toString('hex').toUpperCase())).toEqual(bytes)
      expect(base64urlOf(bytes)).toBe(buffer.toString('base64url'))
      expect(bytesOfBase64url(buffer.toString('base64url'))).toEqual(bytes)
      expect(utf8(text)).toEqual(Uint8Array.from(Buffer.from(text)))
      expect(textOf(utf8(text))).toBe(text)
    }),
  )
})

test.each(['0', 'abc', '0g', 'G0', '/0', ':0', '@0', '`0', ' 0', '0x', 'é0'])('%j is no hex', (text) => {
  expect(bytesOfHex(text)).toBeUndefined()
})

test.each(['A', 'AAAAA', 'AB', 'AA=', 'A+', 'A/', 'A ', 'é'])('%j is no base64url', (text) => {
  expect(bytesOfBase64url(text)).toBeUndefined()
})

test('bytes that are not UTF-8 are no text', () => {
  expect(textOf(Uint8Array.of(0xc3, 0x28))).toBeUndefined()
})

test('a byte order mark is part of the text, so that what was written is read', () => {
  expect(textOf(utf8('\uFEFFpears'))).toBe('\uFEFFpears')
})
