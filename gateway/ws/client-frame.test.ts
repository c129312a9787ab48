// Frames of clients: what is taken, and by which name everything else is refused.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { limits } from '#protocol/limits'
import { utf8 } from '#protocol/text'
import { type BinaryPublishHeader, encodeBinaryHead } from '#protocol/wire/binary-frame'
import { parseBinaryFrame, parseClientFrame } from './client-frame.ts'

const parse = (frame: object) => parseClientFrame(JSON.stringify(frame))
const subscribe = { type: 'subscribe', sub: 'a', topics: ['orders'], credit: 5 }
const publish = { type: 'publish', ref: 'p', topic: 'orders', records: [{ value: 'pears' }] }

test('each frame is taken apart', () => {
  expect(parse({ ...subscribe, topics: ['orders', 'bills.**'], from: { 'bills.eu': 'gv1.x' } })).toEqual({
    type: 'subscribe',
    sub: 'a',
    patterns: ['orders', 'bills.**'],
    from: { type: 'cursors', cursors: new Map([['bills.eu', 'gv1.x']]) },
    credit: 5,
  })
  expect(parse({ type: 'credit', sub: 'a', n: 3 })).toEqual({ type: 'credit', sub: 'a', n: 3 })
  expect(parse({ type: 'unsubscribe', sub: 'a' })).toEqual({ type: 'unsubscribe', sub: 'a' })
  expect(parse({ type: 'auth', token: 'secret' })).toEqual({ type: 'auth', token: 'secret' })
  const records = [{ key: 'eu', headers: { 'trace-id': 'a1' }, valueBase64: '/wA=', contentType: 'image/png' }]
  expect(parse({ ...publish, records, ack: 'n:2', wait: '2s' })).toEqual({
    type: 'publish',
    ref: 'p',
    topic: 'orders',
    records: [
      {
        key: utf8('eu'),
        headers: { 'content-type': 'image/png', 'trace-id': 'a1' },
        value: Buffer.from([0xff, 0]),
      },
    ],
    ack: { type: 'count', count: 2 },
    waitMs: 2_000,
  })
})

test.each(['$topics', '$deleted.orders.0'])(
  'a subscription to %s goes on from a cursor, as one to any topic',
  (topic) => {
    const from = { type: 'cursors', cursors: new Map([[topic, 'gv1.x']]) }
    expect(parse({ ...subscribe, topics: [topic], from: 'gv1.x' })).toMatchObject({ from })
    expect(parse({ ...subscribe, topics: [topic, 'orders'], from: { [topic]: 'gv1.x' } })).toMatchObject({ from })
  },
)

test('a publish may say its producer, or a key', () => {
  const producer = { type: 'producer', name: 'shop', epoch: 0, seq: 4 }
  expect(parse({ ...publish, producer: { id: 'shop', seq: 4 } })).toMatchObject({ producer })
  const key = { type: 'idempotencyKey', name: 'a7', epoch: 0, seq: 0 }
  expect(parse({ ...publish, idempotencyKey: 'a7' })).toMatchObject({ producer: key })
  const records = [{ value: 'pears', producer: { id: 'shop', epoch: 1, seq: 4 } }]
  expect(parse({ ...publish, records })).toMatchObject({ records: [{ producer: { ...producer, epoch: 1 } }] })
  const both = [
    { idempotencyKey: 'a7', producer: { id: 'shop', seq: 4 } },
    { idempotencyKey: 'a7', records },
  ]
  for (const wrong of both) expect(parse({ ...publish, ...wrong })).toMatchObject({ type: 'bad', fatal: false })
})

const long = 'x'.repeat(limits.socketNameLengthMax + 1)

test.each<[object, string, string?]>([
  [{}, 'BAD_REQUEST', 'type'],
  [{ type: 'pears' }, 'BAD_REQUEST', 'type'],
  [{ ...subscribe, sub: 7 }, 'BAD_REQUEST', 'sub'],
  [{ ...subscribe, sub: '' }, 'BAD_REQUEST', 'sub'],
  [{ ...subscribe, sub: long }, 'BAD_REQUEST', 'sub'],
  [{ ...subscribe, topic: 'orders' }, 'BAD_REQUEST', 'topic'],
  [{ ...subscribe, topics: 'orders' }, 'BAD_REQUEST', 'topics'],
  [{ ...subscribe, topics: [] }, 'BAD_REQUEST', 'topics'],
  [{ ...subscribe, topics: Array(65).fill('orders') }, 'BAD_REQUEST', 'topics'],
  [{ ...subscribe, topics: ['or ders'] }, 'TOPIC_NAME_INVALID'],
  [{ ...subscribe, topics: ['**.orders'] }, 'TOPIC_NAME_INVALID'],
  [{ ...subscribe, topics: [['orders']] }, 'TOPIC_NAME_INVALID'],
  [{ ...subscribe, credit: undefined }, 'BAD_REQUEST', 'credit'],
  [{ ...subscribe, credit: -1 }, 'BAD_REQUEST', 'credit'],
  [{ ...subscribe, credit: 1.5 }, 'BAD_REQUEST', 'credit'],
  [{ ...subscribe, credit: 1e9 }, 'BAD_REQUEST', 'credit'],
  [{ ...subscribe, from: 7 }, 'BAD_REQUEST', 'from'],
  [{ ...subscribe, from: null }, 'BAD_REQUEST', 'from'],
  [{ ...subscribe, topics: ['*'], from: 'gv1.x' }, 'BAD_REQUEST', 'from'],
  [{ ...subscribe, topics: ['orders', 'bills'], from: 'gv1.x' }, 'BAD_REQUEST', 'from'],
  [{ ...subscribe, from: { bills: 'gv1.x' } }, 'BAD_REQUEST', 'from'],
  [{ ...subscribe, topics: ['**'], from: { $cursors: 'gv1.x' } }, 'BAD_REQUEST', 'from'],
  [{ ...subscribe, from: { orders: 7 } }, 'BAD_REQUEST', 'from.orders'],
  [{ type: 'credit', sub: 'a', n: 0 }, 'BAD_REQUEST', 'n'],
  [{ ...publish, ref: undefined }, 'BAD_REQUEST', 'ref'],
  [{ ...publish, topic: 'orders.*' }, 'TOPIC_NAME_INVALID'],
  [{ ...publish, topic: '$topics' }, 'TOPIC_NAME_INVALID'],
  [{ ...publish, akc: 'all' }, 'BAD_REQUEST', 'akc'],
  [{ ...publish, ack: 'quorum' }, 'ACK_LEVEL_INVALID'],
  [{ ...publish, ack: 2 }, 'ACK_LEVEL_INVALID'],
  [{ ...publish, wait: 2000 }, 'BAD_REQUEST', 'wait'],
  [{ ...publish, wait: '2h' }, 'BAD_REQUEST', 'wait'],
  [{ ...publish, records: [] }, 'BAD_REQUEST', 'records'],
  [{ ...publish, records: { value: 'pears' } }, 'BAD_REQUEST', 'records'],
  [{ ...publish, records: [{ value: 'a' }, {}] }, 'BAD_REQUEST', 'records[1]'],
  [{ ...publish, records: [{ value: 'a', vlaue: 1 }] }, 'BAD_REQUEST', 'records[0].vlaue'],
  [{ ...publish, records: [{ value: 'x'.repeat(limits.recordBytesMax) }] }, 'RECORD_TOO_LARGE'],
])('%j is refused as %s', (frame, code, field) => {
  const bad = parse(frame)
  expect(bad).toMatchObject({ type: 'bad', error: { code }, fatal: false })
  if (field !== undefined) expect(bad).toMatchObject({ error: { facts: { field } } })
})

test('a refusal says which publish or subscription it is about', () => {
  expect(parse({ ...publish, ack: 'quorum' })).toMatchObject({ ref: 'p' })
  expect(parse({ ...subscribe, credit: -1 })).toMatchObject({ sub: 'a' })
})

test.each([
  ['', 'BAD_JSON'],
  ['{"type":"subscribe"', 'BAD_JSON'],
  ['['.repeat(100_000), 'BAD_JSON'],
  ['pears', 'BAD_JSON'],
  ['[]', 'BAD_REQUEST'],
  ['null', 'BAD_REQUEST'],
  ['7', 'BAD_REQUEST'],
])('%.20j is no frame', (text, code) => {
  expect(parseClientFrame(text)).toMatchObject({ type: 'bad', error: { code }, fatal: true })
})

// Binary messages -------------------------------------------------------------------------------------------------------

const encoded = (header: object, payload = Uint8Array.of(1, 2, 3)) =>
  parseBinaryFrame(Uint8Array.from([...encodeBinaryHead('publish', header as BinaryPublishHeader), ...payload]))
const header = { ref: 'p', topic: 'orders', count: 2 }

test('a publish in binary says what one in JSON says; its records are copied as they are', () => {
  expect(encoded({ ...header, ack: 'n:2', wait: '2s', producer: { id: 'shop', seq: 4 } })).toEqual({
    type: 'publish',
    ref: 'p',
    topic: 'orders',
    encoded: { bytes: Uint8Array.of(1, 2, 3), count: 2 },
    producer: { type: 'producer', name: 'shop', epoch: 0, seq: 4 },
    ack: { type: 'count', count: 2 },
    waitMs: 2_000,
  })
  expect(encoded({ ...header, idempotencyKey: 'a7' })).toMatchObject({
    producer: { type: 'idempotencyKey', name: 'a7' },
  })
})

test.each<[object, string, string?]>([
  [{ ref: undefined }, 'BAD_REQUEST', 'ref'],
  [{ topic: '$topics' }, 'TOPIC_NAME_INVALID'],
  [{ count: undefined }, 'BAD_REQUEST', 'count'],
  [{ count: 0 }, 'BAD_REQUEST', 'count'],
  [{ count: limits.publishRecordsMax + 1 }, 'BAD_REQUEST', 'count'],
  [{ records: [] }, 'BAD_REQUEST', 'records'],
  [{ akc: 'all' }, 'BAD_REQUEST', 'akc'],
  [{ ack: 'quorum' }, 'ACK_LEVEL_INVALID'],
  [{ wait: 2 }, 'BAD_REQUEST', 'wait'],
  [{ producer: { id: 'shop' } }, 'BAD_REQUEST', 'producer.seq'],
  [{ producer: { id: 'shop', seq: 4 }, idempotencyKey: 'a7' }, 'BAD_REQUEST', 'idempotencyKey'],
])('a header with %j is refused as %s', (field, code, name) => {
  const bad = encoded({ ...header, ...field })
  expect(bad).toMatchObject({ type: 'bad', error: { code }, fatal: false })
  if (name !== undefined) expect(bad).toMatchObject({ error: { facts: { field: name } } })
  if (name !== 'ref') expect(bad).toMatchObject({ ref: 'p' })
})

test.each([
  ['nothing', []],
  ['another type', [3, 0, 0, 0, 2, 0x7b, 0x7d]],
  ['a batch', [2, 0, 0, 0, 2, 0x7b, 0x7d]],
  ['a header cut short', [1, 0, 0, 0, 3, 0x7b, 0x7d]],
  ['a header that is no text', [1, 0, 0, 0, 1, 0xff]],
  ['a header that is no JSON', [1, 0, 0, 0, 1, 0x7b]],
  ['a header that is no object', [1, 0, 0, 0, 2, 0x5b, 0x5d]],
])('%s is no message', (_, bytes) => {
  expect(parseBinaryFrame(Uint8Array.from(bytes))).toMatchObject({ type: 'bad', fatal: true })
})

// ------------------------------------------------------------------------------------------------------------------------

test('the messages of clients that the reference shows are taken', () => {
  const readme = readFileSync(new URL('../../docs/wire-clients.md', import.meta.url), 'utf8')
  const shown = readme
    .split('\n')
    .filter((line) => /^\{"type": "(subscribe|credit|unsubscribe|publish|auth)"/.test(line))
  expect(shown.map((line) => parseClientFrame(line).type)).toEqual([
    'subscribe',
    'subscribe',
    'subscribe',
    'credit',
    'unsubscribe',
    'publish',
    'publish',
    'auth',
  ])
})
