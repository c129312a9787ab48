// How a stored record looks in JSON: what its content type says it is, and never a byte that was not stored.
import { expect, test } from 'vitest'
import { utf8 } from '#protocol/text'
import type { StoredRecord } from './broker.ts'
import { recordJson } from './record-json.ts'

const order: StoredRecord = {
  id: 'oak-id.0123456789abcdef.7',
  topic: 'orders',
  feed: 'oak-id.0123456789abcdef',
  offset: 7,
  timeMs: Date.UTC(2026, 4, 1, 10, 0, 0, 5),
  headers: {},
  value: utf8('1 crate of pears'),
}

const shown = (record: Partial<StoredRecord>): Record<string, unknown> =>
  JSON.parse(recordJson({ ...order, ...record })) as Record<string, unknown>

const valueOf = (contentType: string, value: string | Uint8Array): unknown => {
  const bytes = typeof value === 'string' ? utf8(value) : Uint8Array.from(value)
  const { value: embedded, valueBase64 } = shown({ headers: { 'content-type': contentType }, value: bytes })
  return valueBase64 === undefined ? embedded : { base64: valueBase64 }
}

test('a record says where it stands, when it was accepted, and what it carries', () => {
  const headers = { 'content-type': 'text/plain', 'trace-id': 'a1' }
  expect(shown({ key: utf8('pears'), headers })).toEqual({
    id: 'oak-id.0123456789abcdef.7',
    topic: 'orders',
    feed: 'oak-id.0123456789abcdef',
    offset: 7,
    time: '2026-05-01T10:00:00.005Z',
    key: 'pears',
    headers: { 'trace-id': 'a1' },
    contentType: 'text/plain',
    value: '1 crate of pears',
  })
})

test('without key and headers there are no empty fields, and no content type means bytes', () => {
  const { key, headers, contentType, valueBase64 } = shown({ value: Uint8Array.of(1, 2) })
  expect({ key, headers, contentType, valueBase64 }).toEqual({
    key: undefined,
    headers: undefined,
    contentType: 'application/octet-stream',
    valueBase64: 'AQI=',
  })
})

test('a key that is not text comes as base64', () => {
  expect(shown({ key: Uint8Array.of(0xff, 0) })).toMatchObject({ keyBase64: '/wA=' })
})

test.each([
  ['application/json', '{"pears": 3}', { pears: 3 }],
  ['application/json; charset=utf-8', '[1]', [1]],
  ['application/ld+json', 'null', null],
  ['application/json', '{"pears": ', { base64: 'eyJwZWFycyI6IA==' }],
  ['application/json', '', { base64: '' }],
  ['application/json', Uint8Array.of(0x22, 0xff, 0x22), { base64: 'Iv8i' }],
  ['text/plain', 'Äpfel', 'Äpfel'],
  ['text/csv;charset="UTF-8"', 'a,b', 'a,b'],
  ['text/plain', '', ''],
  ['text/plain', Uint8Array.of(0xc4), { base64: 'xA==' }],
  ['text/plain; charset=iso-8859-1', 'pears', { base64: 'cGVhcnM=' }],
  ['text/plain', '\u{feff}pears', '\u{feff}pears'],
  ['image/png', 'pears', { base64: 'cGVhcnM=' }],
  ['application/x-www-form-urlencoded', 'a=1', { base64: 'YT0x' }],
])('%s %j is shown as %j', (contentType, value, expected) => {
  expect(valueOf(contentType, value)).toEqual(expected)
})

test('JSON keeps the digits it was written with and takes one line', () => {
  const value = utf8('{\r\n  "id": 12345678901234567890,\n  "price": 1.10\n}')
  const json = recordJson({ ...order, headers: { 'content-type': 'application/json' }, value })
  expect(json).toContain('"value":{    "id": 12345678901234567890,   "price": 1.10 }')
  expect(json).not.toMatch(/[\r\n]/)
})

test('JSON deeper than other parsers can take goes as base64, without being parsed first', () => {
  const nested = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels)
  expect(valueOf('application/json', nested(64))).toEqual(JSON.parse(nested(64)))
  expect(valueOf('application/json', nested(65))).toHaveProperty('base64')
  expect(valueOf('application/json', '['.repeat(1_000_000))).toHaveProperty('base64')
  // Brackets in a string are no levels.
  expect(valueOf('application/json', JSON.stringify(`\\"${'['.repeat(99)}`))).toBe(`\\"${'['.repeat(99)}`)
})

test('a header called __proto__ is a header', () => {
  const headers = Object.fromEntries([['__proto__', 'x']])
  expect(recordJson({ ...order, headers })).toContain('"headers":{"__proto__":"x"}')
})
