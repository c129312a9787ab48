// Goal: a cursor comes back as it was given, and none that is damaged or foreign is ever obeyed.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Epoch, TopicId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { hexOf } from '#protocol/text'
import { type CursorEntry, CursorFrame, type CursorState, decodeCursor, encodeCursor, encodeEntry } from './cursor.ts'
import { cursorWithin } from './cursor-within.ts'
import { MovingCursor } from './moving-cursor.ts'
import { pureDigests } from './pure-digests.ts'
import { cursorVector } from './vectors.ts'
import { type Lineage, vectorKeyOf, type WriterHash } from './version-vector.ts'

const topicId = 'ab'.repeat(16) as TopicId
const hex = (length: number) => fc.uint8Array({ minLength: length, maxLength: length }).map(hexOf)
const anyEntry = fc.record({
  writer: hex(8) as fc.Arbitrary<WriterHash>,
  epoch: hex(8) as fc.Arbitrary<Epoch>,
  nextOffset: fc.maxSafeNat(),
  hashPrefix: hex(4),
})
const anyState: fc.Arbitrary<CursorState> = fc.record({
  topicId: fc.constant(topicId),
  sinceHlc: fc.record({ ms: fc.nat(2 ** 48 - 1), counter: fc.nat(0xffff) }),
  entries: fc.uniqueArray(anyEntry, { selector: ({ writer, epoch }) => vectorKeyOf(writer, epoch) }),
})
const entry = (n: number): CursorEntry => ({
  writer: n.toString(16).padStart(16, '0') as WriterHash,
  epoch: '0000000000000001' as Epoch,
  nextOffset: n,
  hashPrefix: '01234567',
})
const stateOf = (count: number): CursorState => ({
  topicId,
  sinceHlc: { ms: 5, counter: 6 },
  entries: Array.from({ length: count }, (_, n) => entry(n)),
})

test('what was encoded is decoded', () => {
  fc.assert(
    fc.property(anyState, (state) => {
      expect(decodeCursor(encodeCursor(state, pureDigests), topicId, pureDigests)).toEqual(state)
    }),
  )
})

test('cursors of one frame are those of its entries and the one that moves', () => {
  fc.assert(
    fc.property(anyState, (state) => {
      const moving = state.entries.at(-1)
      const others = state.entries.slice(0, -1).map((other) => ({ encoded: encodeEntry(other) }))
      const frame = new CursorFrame({ ...state, others }, pureDigests)
      expect(frame.at(moving)).toBe(encodeCursor(state, pureDigests))
      expect(frame.at(moving)).toBe(encodeCursor(state, pureDigests))
    }),
  )
})

test('every changed character is noticed', () => {
  const { text, state } = cursorVector
  for (let at = 0; at < text.length; at++) {
    const changed = text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1)
    expect(decodeCursor(changed, state.topicId, pureDigests), `character ${at}`).toBe('damaged')
  }
})

test('every truncation is noticed, and so is anything appended', () => {
  const { text, state } = cursorVector
  for (let length = 0; length < text.length; length++) {
    expect(decodeCursor(text.slice(0, length), state.topicId, pureDigests)).toBe('damaged')
  }
  expect(decodeCursor(`${text}A`, state.topicId, pureDigests)).toBe('damaged')
})

test('a cursor of another topic is told apart from a damaged one', () => {
  expect(decodeCursor(cursorVector.text, topicId, pureDigests)).toBe('otherTopic')
})

test('no text makes decoding throw', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.base64String()), (text) => {
      expect(decodeCursor(`gv1.${text}`, topicId, pureDigests)).toBe('damaged')
      expect(decodeCursor(text, topicId, pureDigests)).toBe('damaged')
    }),
  )
})

test('a feed listed twice makes no sense', () => {
  const twice = { ...stateOf(2), entries: [entry(1), { ...entry(1), nextOffset: 9 }] }
  expect(decodeCursor(encodeCursor(twice, pureDigests), topicId, pureDigests)).toBe('damaged')
})

test('the largest cursor that is made is one that is taken; beyond it neither', () => {
  const text = encodeCursor(stateOf(limits.cursorEntriesMax), pureDigests)
  expect(decodeCursor(text, topicId, pureDigests)).toMatchObject({ sinceHlc: { ms: 5, counter: 6 } })
  expect(() => encodeCursor(stateOf(limits.cursorEntriesMax + 1), pureDigests)).toThrow('at most')
  expect(decodeCursor('x'.repeat(limits.cursorTextMax + 1), topicId, pureDigests)).toBe('tooLarge')
})

const run = (n: number, nextOffset: number): CursorEntry => ({
  ...entry(nextOffset),
  writer: '00000000000000aa' as WriterHash,
  epoch: `000000000000000${n}` as Epoch,
})
const key = ({ writer, epoch }: CursorEntry) => vectorKeyOf(writer, epoch)
const listed = (cursor: MovingCursor): CursorEntry[] => {
  const state = decodeCursor(cursor.now.text, topicId, pureDigests)
  return typeof state === 'string' ? [] : [...state.entries]
}
const secondGoesOnAt10: Lineage = new Map([[key(run(2, 0)), { predecessor: key(run(1, 0)), nextOffset: 10 }]])

test('a cursor that moves drops what its new entries imply, and keeps what they do not', () => {
  const cursor = new MovingCursor({ ...stateOf(2), entries: [entry(1), run(1, 9)] }, pureDigests)
  cursor.learn(secondGoesOnAt10)
  cursor.move(run(1, 10))
  cursor.move(run(2, 11))
  expect(listed(cursor)).toEqual([entry(1), run(2, 11)])
  cursor.move(run(1, 12))
  expect(listed(cursor)).toEqual([entry(1), run(2, 11), run(1, 12)])
  expect(cursor.positions.get(key(run(1, 0)))).toBe(12)
})

test('an opening that arrives late may make a listed entry superfluous', () => {
  const cursor = new MovingCursor({ ...stateOf(0), entries: [run(1, 10), run(2, 11)] }, pureDigests)
  expect(listed(cursor)).toHaveLength(2)
  cursor.learn(secondGoesOnAt10)
  expect(listed(cursor)).toEqual([run(2, 11)])
})

test('a moment keeps its text while the cursor moves on', () => {
  const cursor = new MovingCursor(stateOf(3), pureDigests)
  cursor.move(run(1, 1))
  const moment = cursor.now
  cursor.move(run(1, 2))
  cursor.move(entry(2))
  expect(decodeCursor(moment.text, topicId, pureDigests)).toEqual({
    ...stateOf(3),
    entries: [...stateOf(3).entries, run(1, 1)],
  })
})

test('a cursor within a batch is made only from one that covers the batch', () => {
  const { state, text } = cursorVector
  const [listed] = state.entries
  if (listed === undefined) throw new Error('the example has an entry')
  const at = { ...listed, nextOffset: 9, hashPrefix: 'cafecafe' }
  expect(decodeCursor(cursorWithin(text, at, pureDigests), state.topicId, pureDigests)).toEqual({
    ...state,
    entries: [at],
  })
  const invalid = expect.objectContaining({ code: 'CURSOR_INVALID' }) as Error
  expect(() => cursorWithin(text, { ...at, epoch: '00000000000000ff' as Epoch }, pureDigests)).toThrow(invalid)
  expect(() => cursorWithin('gv1.pears', at, pureDigests)).toThrow(invalid)
  const byEpoch = { epoch: at.epoch, nextOffset: 9, hashPrefix: 'cafecafe' }
  expect(cursorWithin(text, byEpoch, pureDigests)).toBe(cursorWithin(text, at, pureDigests))
  const ofTwoWriters = encodeCursor({ ...state, entries: [listed, { ...entry(7), epoch: at.epoch }] }, pureDigests)
  expect(() => cursorWithin(ofTwoWriters, byEpoch, pureDigests)).toThrow(invalid)
})
