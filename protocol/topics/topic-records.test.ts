// Goal: what is written to `$topics` is read as it was meant, and what is none of it never throws. Method: round trips and damage.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Hash, PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import type { TopicName } from '#protocol/topic-name'
import { runOf } from './register.ts'
import { decodeTopics, encodeState, encodeTopics } from './topic-records.ts'
import { configOf, deleteState, editState, joinStates, type TopicState, unknownTopic } from './topic-state.ts'

const orders = 'orders' as TopicName
const oak = '12D3KooWoak' as PeerId
const run = runOf(oak, '00000000000000a1')
const hash = 'ab'.repeat(32) as Hash
const asked = { replicas: 5, retention: { ageMs: 86_400_000 }, minAck: { type: 'majority' } } as const
const born = editState(unknownTopic(orders), { run, atMs: 1_700_000_000_000, asked })
const deleted = deleteState(born, {
  by: new Map([[oak, 1_700_000_060_000]]),
  upTo: new Map([[run, { nextOffset: 42, hash }]]),
})
const reborn = editState(deleted, { run, asked: {} })

const decoded = (text: string): TopicState | undefined => decodeTopics(text)?.[0]

test('a record is JSON that a person can read', () => {
  expect(encodeTopics([born]).text).toBe(
    '{"topics":[{"topic":"orders","generation":0,"seen":{"12D3KooWoak.00000000000000a1":1},' +
      '"edited":{"12D3KooWoak.00000000000000a1.1":{"atMs":1700000000000}},"replicas":{"12D3KooWoak.00000000000000a1.1":5},' +
      '"retention":{"12D3KooWoak.00000000000000a1.1":{"ageMs":86400000}},"minAck":{"12D3KooWoak.00000000000000a1.1":"majority"}}]}',
  )
  expect(encodeTopics([deleted]).text).toBe(
    '{"topics":[{"topic":"orders","generation":1,"deleted":{"0":{"by":{"12D3KooWoak":1700000060000},' +
      `"upTo":{"12D3KooWoak.00000000000000a1":[42,"${hash}"]}}}}]}`,
  )
})

test.each([
  ['made', born],
  ['deleted', deleted],
  ['made again', reborn],
])('a topic that was %s is read as it was written', (_, state) => {
  const { text, count } = encodeTopics([state, state])
  expect(count).toBe(2)
  expect(decodeTopics(text)).toEqual([state, state])
})

test('a flood of topics goes into few records, each of a bounded size', () => {
  let waiting = Array.from({ length: 10_000 }, (_, i) =>
    editState(unknownTopic(`t${i}` as TopicName), { run, asked: {} }),
  )
  const counts: number[] = []
  while (waiting.length > 0) {
    const { text, count } = encodeTopics(waiting)
    expect(text.length).toBeLessThanOrEqual(limits.topicRecordLengthTarget + 20)
    counts.push(count)
    waiting = waiting.slice(count)
  }
  expect(counts.length).toBeLessThan(10)
})

describe('bounds', () => {
  const runs = Array.from({ length: limits.topicRunsMax + 40 }, (_, i) => runOf(oak, i.toString(16).padStart(16, '0')))

  test('of runs: those that still have a say stay, and what they say holds', () => {
    const state = runs.reduce(
      (before, editor, i) => editState(before, { run: editor, asked: i === 3 ? asked : {} }),
      unknownTopic(orders),
    )
    const read = decoded(encodeTopics([state]).text) as TopicState
    expect(read.seen.size).toBe(limits.topicRunsMax)
    expect(configOf(joinStates(read, state))).toEqual(configOf(state))
    expect(encodeState(joinStates(read, state))).toBe(encodeState(state))
  })

  test('of tombstones: the largest state that there may be fits into a record', () => {
    const peer = (i: number): PeerId => `12D3KooW${String(i).padStart(44, '0')}` as PeerId
    let state = unknownTopic(orders)
    for (let generation = 0; generation < limits.tombstonesMax + 1; generation++) {
      const feeds = Array.from({ length: limits.tombstoneFeedsMax + 10 }, (_, i) => runOf(peer(i), '00000000000000a1'))
      const upTo = new Map(feeds.map((feed) => [feed, { nextOffset: Number.MAX_SAFE_INTEGER, hash }]))
      state = deleteState(state, { by: new Map(feeds.map((_, i) => [peer(i), 1_700_000_060_000])), upTo })
    }
    const { text } = encodeTopics([state])
    expect(text.length).toBeLessThan(limits.recordBytesMax)
    expect(decoded(text)).toEqual(state)
  })
})

describe('no record', () => {
  const good = encodeTopics([reborn]).text
  const editor = '12D3KooWoak.00000000000000a1'

  test.each([
    ['no JSON', good.slice(1)],
    ['no list of topics', '{"topics":{}}'],
    ['a name of the mesh itself', good.replace('"orders"', '"$topics"')],
    ['a generation below zero', good.replace('"generation":1', '"generation":-1')],
    ['an edit that it has not seen itself', good.replace(`"${editor}":1`, `"${editor}":0`)],
    ['an edit of nobody', good.replace(`"${editor}.1"`, '"__proto__"')],
    ['a tombstone of a generation that lives', good.replace('"deleted":{"0"', '"deleted":{"1"')],
    ['a head without its hash', good.replace(`[42,"${hash}"]`, '[42]')],
  ])('%s', (_, text) => {
    expect(text).not.toBe(good)
    expect(decodeTopics(text)).toBeUndefined()
  })

  test('whatever is damaged, nothing throws', () => {
    fc.assert(
      fc.property(fc.nat(good.length), fc.string({ maxLength: 3 }), (index, junk) => {
        decodeTopics(good.slice(0, index) + junk + good.slice(index + junk.length))
        decodeTopics(good.slice(0, index) + junk + good.slice(index))
      }),
    )
    fc.assert(fc.property(fc.jsonValue(), (value) => void decodeTopics(JSON.stringify({ topics: [value] }))))
  })
})
