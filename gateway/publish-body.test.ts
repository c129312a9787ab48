// What a publish says: one record or many, and every way to say it wrongly is refused as a whole, with the place named.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { MeshError, type ErrorCode } from '#protocol/errors'
import { limits } from '#protocol/limits'
import { textOf, utf8 } from '#protocol/text'
import type { RecordToPublish } from './broker.ts'
import { publishBodyOf } from './publish-body.ts'
import { recordJson } from './record-json.ts'

const bodyOf = (contentType: string, body: string | Uint8Array) =>
  publishBodyOf(typeof body === 'string' ? utf8(body) : body, { headers: { 'content-type': contentType } })

function batchOf(...records: unknown[]): readonly RecordToPublish[] {
  const body = bodyOf('application/json', JSON.stringify({ records }))
  return body.type === 'batch' ? body.records : []
}

const readable = ({ key, headers, value }: RecordToPublish): unknown[] => [
  key && textOf(key),
  headers['content-type'],
  textOf(value),
]

test.each([
  ['text/plain', '{"records":[]}'],
  ['application/json', '{"pears": 3}'],
  ['application/json', '[{"value": 1}]'],
  ['application/json', '{"records":[{"value":1}],"total":1}'],
  ['application/json', '{"records":"none"}'],
  ['application/cloudevents+json', '{"records":[{"value":1}]}'],
  ['application/octet-stream', ''],
])('%s %s is one record, byte for byte', (contentType, text) => {
  const value = utf8(text)
  expect(bodyOf(contentType, value)).toEqual({
    type: 'one',
    record: { headers: { 'content-type': contentType }, value },
  })
})

test.each(['application/json', 'application/json; charset=utf-8', 'application/vnd.grapevine.records+json'])(
  'an object with nothing but an array of records is a batch in %s',
  (contentType) => {
    expect(bodyOf(contentType, '{"records":[{"value":1},{"value":2}]}')).toMatchObject({
      type: 'batch',
      records: [{}, {}],
    })
  },
)

test('a value has the content type that fits it unless another is given', () => {
  const records = batchOf(
    { value: 'pears', key: 'p' },
    { value: { pears: 3 } },
    { value: null },
    { valueBase64: '/wA=' },
    { value: 'pears', contentType: 'application/json' },
    { value: '<pear/>', contentType: 'application/xml' },
    { valueBase64: 'cGVhcnM=', contentType: 'text/plain; charset=latin1', keyBase64: 'cA==' },
  )
  expect(records.map(readable)).toEqual([
    ['p', 'text/plain', 'pears'],
    [undefined, 'application/json', '{"pears":3}'],
    [undefined, 'application/json', 'null'],
    [undefined, 'application/octet-stream', undefined],
    [undefined, 'application/json', '"pears"'],
    [undefined, 'application/xml', '<pear/>'],
    ['p', 'text/plain; charset=latin1', 'pears'],
  ])
})

test('the largest record that a batch can carry is taken, and one byte more is refused', () => {
  // 6 bytes of lengths and flags, and 2 + 12 + 2 + 10 of the header content-type: text/plain.
  const largest = limits.recordBytesMax - 32
  expect(batchOf({ value: 'x'.repeat(largest) })).toHaveLength(1)
  expect(() => batchOf({ value: 'x'.repeat(largest + 1) })).toThrow(/this one has 1044481/)
  expect(() => batchOf({ value: 'x'.repeat(largest - 3), key: 'eu' })).toThrow(/this one has 1044481/)
})

test('names of headers are those of HTTP: without case', () => {
  const [record] = batchOf({ value: '', headers: { 'Trace-Id': 'a1' } })
  expect(record?.headers).toEqual({ 'content-type': 'text/plain', 'trace-id': 'a1' })
})

test('what a reader is shown can be published again and is the same record', () => {
  const header = fc.tuple(fc.stringMatching(/^[a-z][a-z0-9-]{0,9}$/), fc.string({ unit: 'grapheme' }))
  const content = fc.oneof(
    fc.record({ type: fc.constant('text/plain'), value: fc.string({ unit: 'grapheme' }).map(utf8) }),
    fc.record({
      type: fc.constant('application/json'),
      value: fc.json({ maxDepth: 5 }).map((json) => utf8(JSON.stringify(JSON.parse(json)))),
    }),
    fc.record({ type: fc.constantFrom('text/plain', 'application/json', 'image/png'), value: fc.uint8Array() }),
  )
  fc.assert(
    fc.property(
      content,
      fc.option(fc.uint8Array()),
      fc.array(header, { maxLength: 5 }),
      ({ type, value }, key, pairs) => {
        const headers = { ...Object.fromEntries(pairs), 'content-type': type }
        const stored = { id: 'i', topic: 't', feed: 'f', offset: 0, timeMs: 0, headers, value, ...(key && { key }) }
        const { id, topic, feed, offset, time, ...shown } = JSON.parse(recordJson(stored)) as Record<string, unknown>
        expect([id, topic, feed, offset, time]).toEqual(['i', 't', 'f', 0, '1970-01-01T00:00:00.000Z'])
        const [again] = batchOf(shown)
        // JSON values keep their meaning; their bytes are written anew.
        if ('value' in shown && type === 'application/json') {
          expect(JSON.parse(textOf(again?.value ?? value) ?? '')).toEqual(JSON.parse(textOf(value) ?? ''))
        } else expect(Buffer.from(again?.value ?? [])).toEqual(Buffer.from(value))
        expect(again?.headers).toEqual(headers)
        expect(again?.key && Buffer.from(again.key)).toEqual(key ? Buffer.from(key) : undefined)
      },
    ),
  )
})

const records = (...list: unknown[]): string => JSON.stringify({ records: list })
const batchType = 'application/vnd.grapevine.records+json'

test.each<[ErrorCode, RegExp, string | Uint8Array, string?]>([
  ['BAD_JSON', /JSON/, '{"pears": '],
  ['BAD_JSON', /JSON/, ''],
  ['BAD_JSON', /64 levels/, `${'['.repeat(65)}${']'.repeat(65)}`],
  ['BAD_JSON', /UTF-8/, Uint8Array.of(0x22, 0xff, 0x22)],
  ['BAD_REQUEST', /^records must be an array/, '[]', batchType],
  ['BAD_REQUEST', /^records must be an array, and nothing/, '{"records":[{"value":1}],"ack":"all"}', batchType],
  ['BAD_REQUEST', /^records must be an array/, '{"records":{}}', batchType],
  ['BAD_REQUEST', /^records must hold 1 to 10000/, records()],
  ['BAD_REQUEST', /^records must hold 1 to 10000/, records(...Array(10_001).fill({ value: 1 }))],
  ['BAD_REQUEST', /^records\[1\] must be an object/, records({ value: 1 }, 2)],
  ['BAD_REQUEST', /^records\[0\] must be an object/, records(null)],
  ['BAD_REQUEST', /^records\[0\] must have one of/, records({})],
  ['BAD_REQUEST', /^records\[0\] must have one of/, records({ value: 1, valueBase64: '' })],
  ['BAD_REQUEST', /^records\[0\]\.ttl is not a field/, records({ value: 1, ttl: 5 })],
  ['BAD_REQUEST', /__proto__ is not a field/, '{"records":[{"value":1,"__proto__":{}}]}'],
  ['BAD_REQUEST', /^records\[0\]\.key must be a string/, records({ value: 1, key: 2 })],
  ['BAD_REQUEST', /^records\[0\]\.key must be a string/, records({ value: 1, key: null })],
  ['BAD_REQUEST', /^records\[0\]\.key has half/, records({ value: 1, key: '\ud800' })],
  ['BAD_REQUEST', /\.key cannot stand beside/, records({ value: 1, key: 'a', keyBase64: 'YQ==' })],
  ['BAD_REQUEST', /\.keyBase64 must be base64/, records({ value: 1, keyBase64: 'a' })],
  ['BAD_REQUEST', /\.key must have at most 1024/, records({ value: 1, key: 'k'.repeat(1025) })],
  ['BAD_REQUEST', /\.valueBase64 must be base64/, records({ valueBase64: 'AQI' })],
  ['BAD_REQUEST', /\.valueBase64 must be base64/, records({ valueBase64: 'AQI= ' })],
  ['BAD_REQUEST', /\.valueBase64 must be base64/, records({ valueBase64: 'AQJ=' })],
  ['BAD_REQUEST', /\.valueBase64 must be base64/, records({ valueBase64: 7 })],
  ['BAD_REQUEST', /\.contentType must be a media type/, records({ value: 1, contentType: 'pears' })],
  ['BAD_REQUEST', /\.contentType must be a media type/, records({ value: 1, contentType: 7 })],
  ['BAD_REQUEST', /\.value must be a string/, records({ value: 1, contentType: 'text/plain' })],
  ['BAD_REQUEST', /must be UTF-8/, records({ value: 'ä', contentType: 'text/plain; charset=latin1' })],
  ['BAD_REQUEST', /\.value has half/, records({ value: '\udc00' })],
  ['BAD_REQUEST', /\.headers must be an object/, records({ value: 1, headers: [] })],
  ['BAD_REQUEST', /is not a header name/, records({ value: 1, headers: { 'a b': '' } })],
  ['BAD_REQUEST', /\.headers\.a must be a string/, records({ value: 1, headers: { a: 1 } })],
  ['BAD_REQUEST', /\.headers\.a stands twice/, records({ value: 1, headers: { A: '', a: '' } })],
  ['BAD_REQUEST', /should be contentType/, records({ value: 1, headers: { 'Content-Type': 'text/plain' } })],
  [
    'BAD_REQUEST',
    /^records\[0\]\.headers must be at most 64/,
    records({ value: 1, headers: Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`h${i}`, ''])) }),
  ],
  ['RECORD_TOO_LARGE', /^records\[1\]/, records({ value: 1 }, { value: 'x'.repeat(limits.recordBytesMax + 1) })],
  ['RECORD_TOO_LARGE', /^A record has at most/, `"${'x'.repeat(limits.recordBytesMax)}"`],
  [
    'BAD_REQUEST',
    /^records\[1\]: Headers take at most/,
    records({ value: 1 }, { value: 1, headers: { h: 'ä'.repeat(4_090) } }),
  ],
])('%s, since %s', (code, detail, body, contentType = 'application/json') => {
  const message: unknown = expect.stringMatching(detail)
  expect(() => bodyOf(contentType, body)).toThrow(MeshError)
  expect(() => bodyOf(contentType, body)).toThrow(expect.objectContaining({ code, message }))
})

test('a header called __proto__ is a header', () => {
  const body = bodyOf('application/json', '{"records":[{"value":1,"headers":{"__proto__":"x"}}]}')
  expect(body.type === 'batch' && Object.entries(body.records[0]?.headers ?? {})).toContainEqual(['__proto__', 'x'])
})

test('what belongs to one record does not belong beside a batch', () => {
  const body = utf8(records({ value: 1 }))
  const headers = { 'content-type': 'application/json' }
  expect(() => publishBodyOf(body, { headers, key: utf8('k') })).toThrow(/^record-key belongs into/)
  expect(() => publishBodyOf(body, { headers: { ...headers, trace: '1' } })).toThrow(
    /^record-header-trace belongs into/,
  )
})
