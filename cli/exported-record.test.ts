import { expect, test } from 'vitest'
import { ReceivedRecord, type RecordJson } from '#client/record'
import { exportedLine, recordOfLine } from './exported-record.ts'

const feed = '12D3KooWoak.00000000000000aa'
const topicId = 'ab'.repeat(16)
const place = { id: `${feed}.7`, topic: 'orders', feed, offset: 7, time: '2026-07-01T10:00:00.000Z' }
const received = (json: Partial<RecordJson>, bytes?: string): ReceivedRecord =>
  new ReceivedRecord(
    { ...place, contentType: 'application/json', ...json },
    'gv1.x',
    bytes === undefined ? undefined : Buffer.from(bytes, 'latin1'),
  )
const utf8 = (text: string) => new TextEncoder().encode(text)
const bytesOf = (value: string | Uint8Array): string =>
  Buffer.from(typeof value === 'string' ? utf8(value) : value).toString('latin1')

test.each([
  ['text', 'text/plain; charset=utf-8', 'ten pears\r\n', { value: 'ten pears\r\n' }],
  ['JSON as JavaScript writes it', 'application/json', '{"a":1}', { value: { a: 1 } }],
  [
    'JSON with white space, which must not be lost',
    'application/json',
    '{ "a": 1 }',
    { valueBase64: 'eyAiYSI6IDEgfQ==' },
  ],
  [
    'a number beyond what JavaScript counts',
    'application/json',
    '12345678901234567890',
    { valueBase64: expect.any(String) },
  ],
  ['bytes', 'application/octet-stream', '\x00\xff', { valueBase64: 'AP8=' }],
  ['what calls itself text and is none', 'text/plain', '\xff', { valueBase64: '/w==' }],
])('%s goes out and comes in byte for byte', (_, contentType, value, shown) => {
  const line = exportedLine(received({ contentType }, value), topicId)
  expect(JSON.parse(line)).toMatchObject({ ...place, contentType, ...shown })
  const back = recordOfLine(utf8(line.trimEnd()))
  expect(bytesOf(back?.record.value ?? '')).toBe(value)
  expect(back).toMatchObject({ topic: 'orders', origin: { topicId, feed, offset: 7 }, record: { contentType } })
})

test('keys and headers come along, and where it was written first stands in headers', () => {
  const line = exportedLine(received({ keyBase64: '/w==', headers: { trace: 'a1' } }, '1'), topicId)
  const first = recordOfLine(utf8(line))
  expect(first?.record).toMatchObject({
    key: Buffer.from([255]),
    headers: { trace: 'a1', 'grapevine-origin': `${topicId}/${place.id}`, 'grapevine-origin-time': place.time },
  })
  // Imported, it has another id; exported and imported once more, it is still the one that it was.
  const elsewhere = { id: '12D3KooWelm.00000000000000bb.0', headers: first?.record.headers ?? {}, time: 'later' }
  const again = recordOfLine(utf8(exportedLine(received(elsewhere, '1'), 'cd'.repeat(16))))
  expect(again?.origin).toEqual({ topicId, feed, offset: 7 })
  expect(again?.record.headers).toEqual(first?.record.headers)
})

test.each(['{"end":true,"records":3,"cursors":{}}', '{"topic":"orders","gap":{"type":"lost"}}'])(
  '%s is no record, and no mistake',
  (line) => {
    expect(recordOfLine(utf8(line))).toBeUndefined()
  },
)

const whole = { ...place, topicId, contentType: 'text/plain', value: 'a' }

test.each([
  ['no JSON', 'pears', 'BAD_JSON'],
  ['a list', '[1]', 'BAD_JSON'],
  ['no topic', JSON.stringify({ ...whole, topic: undefined }), 'BAD_REQUEST'],
  ['no id of a topic', JSON.stringify({ ...whole, topicId: 'ab' }), 'BAD_REQUEST'],
  ['no id of a record', JSON.stringify({ ...whole, id: '7' }), 'BAD_REQUEST'],
  ['no value', JSON.stringify({ ...whole, value: undefined }), 'BAD_REQUEST'],
  ['no base64', JSON.stringify({ ...whole, valueBase64: '*' }), 'BAD_REQUEST'],
])('%s has a name', (_, line, code) => {
  expect(() => recordOfLine(utf8(line))).toThrow(expect.objectContaining({ code }))
})
