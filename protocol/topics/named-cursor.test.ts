import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Epoch, PeerId, TopicId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { decodeCursor, encodeCursor } from '#protocol/log/cursor'
import { pureDigests as digests } from '#protocol/log/pure-digests'
import { writerHashOf } from '#protocol/log/version-vector'
import type { TopicName } from '#protocol/topic-name'
import { decodeCursors, encodeCursors } from './cursor-records.ts'
import { editCursor, isSameCursor, joinCursors, type NamedCursorState, unknownCursor, valueOf } from './named-cursor.ts'
import { runOf } from './register.ts'

const topic = 'orders' as TopicName
const topicId = '00112233445566778899aabbccddeeff' as TopicId
const otherId = 'ff112233445566778899aabbccddeeff' as TopicId
const peers = ['12D3KooWoak', '12D3KooWelm', '12D3KooWash'] as PeerId[]
const runs = peers.map((peer, i) => runOf(peer, `${i}`.padStart(16, '0')))
const nothing = unknownCursor(topic, 'billing')

/** A cursor with these positions, of feeds that are named by a letter. */
function cursor(positions: Record<string, number>, { sinceMs = 0, id = topicId } = {}): string {
  const entries = Object.entries(positions).map(([name, nextOffset]) => ({
    writer: writerHashOf(name as PeerId, digests),
    epoch: '1'.padStart(16, '0') as Epoch,
    nextOffset,
    hashPrefix: nextOffset.toString(16).padStart(8, '0'),
  }))
  return encodeCursor({ topicId: id, sinceHlc: { ms: sinceMs, counter: 0 }, entries }, digests)
}

function positionsOf(text: string | undefined, id = topicId) {
  const state = decodeCursor(text ?? '', id, digests)
  if (typeof state === 'string') return state
  const names = new Map(['a', 'b', 'c'].map((name) => [writerHashOf(name as PeerId, digests), name]))
  const positions = state.entries.map(({ writer, nextOffset }) => [names.get(writer), nextOffset] as const)
  return { ...Object.fromEntries(positions), sinceMs: state.sinceHlc.ms }
}

const edit = (state: NamedCursorState, run: number, value: string | null) =>
  editCursor(state, runs[run] as never, value)
const read = (state: NamedCursorState) => positionsOf(valueOf(state, topicId, digests))

test('a later edit replaces what it saw, also by a cursor further back', () => {
  const first = edit(nothing, 0, cursor({ a: 5 }))
  const second = edit(first, 1, cursor({ a: 2 }))
  expect(read(joinCursors(second, first))).toEqual({ a: 2, sinceMs: 0 })
})

test('what two sides of a split store is read as the nearest of each feed, from the earliest start', () => {
  const before = edit(nothing, 0, cursor({ a: 1, b: 1 }))
  const here = edit(edit(before, 0, cursor({ a: 2, b: 1 })), 0, cursor({ a: 9, b: 1 }, { sinceMs: 7 }))
  const there = edit(before, 1, cursor({ a: 3, b: 4, c: 2 }, { sinceMs: 3 }))
  const merged = joinCursors(here, there)
  expect(merged.values.size).toBe(2)
  expect(read(merged)).toEqual({ a: 3, b: 1, c: 2, sinceMs: 3 })
  expect(read(edit(merged, 2, cursor({ a: 1 })))).toEqual({ a: 1, sinceMs: 0 })
})

test('of one that began at the end of a topic nothing is passed over that the other has not read', () => {
  const here = edit(nothing, 0, cursor({ a: 10 }))
  const there = edit(nothing, 1, cursor({ a: 50, b: 40 }, { sinceMs: 49 }))
  expect(read(joinCursors(here, there))).toEqual({ a: 10, sinceMs: 0 })
})

/** Of readers of three feeds whose record at offset n is of time n + 1: of each feed that one has begun, its position above its start. */
const readers = fc.array(
  fc.record({
    sinceMs: fc.integer({ min: 0, max: 6 }),
    ahead: fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.integer({ min: 1, max: 6 })),
  }),
  { minLength: 2, maxLength: 4 },
)

test('what is passed over was read by somebody, or lies before where all began', () => {
  fc.assert(
    fc.property(readers, (many) => {
      const stored = many.map(({ sinceMs, ahead }) => ({
        sinceMs,
        positions: Object.fromEntries(Object.entries(ahead).map(([feed, more]) => [feed, sinceMs + more])),
      }))
      const state = stored
        .map(({ sinceMs, positions }, i) =>
          editCursor(nothing, runOf(`${peers[0]}${i}` as PeerId, '0'.repeat(16)), cursor(positions, { sinceMs })),
        )
        .reduce(joinCursors)
      const { sinceMs, ...joined } = read(state) as { sinceMs: number } & Record<string, number>
      for (const feed of ['a', 'b', 'c']) {
        for (let offset = 0; offset < 14; offset++) {
          if (offset >= (joined[feed] ?? sinceMs)) continue
          const isRead = stored.some((one) => offset >= one.sinceMs && offset < (one.positions[feed] ?? 0))
          expect(isRead || stored.every((one) => offset < one.sinceMs)).toBe(true)
        }
      }
    }),
  )
})

test('a deletion goes as far as what it saw: what was stored meanwhile stays', () => {
  const before = edit(nothing, 0, cursor({ a: 1 }))
  const deleted = edit(before, 0, null)
  expect(valueOf(deleted, topicId, digests)).toBeUndefined()
  expect(valueOf(joinCursors(before, deleted), topicId, digests)).toBeUndefined()
  const stored = edit(before, 1, cursor({ a: 2 }))
  expect(read(joinCursors(deleted, stored))).toEqual({ a: 2, sinceMs: 0 })
})

test('of a topic that was made again on one side the cursor of the one that there is now counts', () => {
  const old = edit(nothing, 0, cursor({ a: 9 }, { id: otherId }))
  const merged = joinCursors(old, edit(nothing, 1, cursor({ a: 1 })))
  expect(read(merged)).toEqual({ a: 1, sinceMs: 0 })
  expect(positionsOf(valueOf(merged, otherId, digests), otherId)).toEqual({ a: 9, sinceMs: 0 })
})

/** Three replicas that edit and merge in any order. */
const histories = fc.array(
  fc.record({
    at: fc.integer({ min: 0, max: 2 }),
    with: fc.integer({ min: 0, max: 2 }),
    edits: fc.boolean(),
    value: fc.option(fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.integer({ min: 0, max: 9 }))),
  }),
  { maxLength: 20 },
)

function statesAfter(history: typeof histories extends fc.Arbitrary<infer T> ? T : never): NamedCursorState[] {
  const states = [nothing, nothing, nothing]
  for (const step of history) {
    const state = states[step.at] as NamedCursorState
    if (step.edits) states[step.at] = edit(state, step.at, step.value === null ? null : cursor(step.value))
    else states[step.at] = joinCursors(state, states[step.with] as NamedCursorState)
  }
  return states
}

test('states are joined in any order, any number of times, with one result', () => {
  fc.assert(
    fc.property(histories, (history) => {
      const [a, b, c] = statesAfter(history) as [NamedCursorState, NamedCursorState, NamedCursorState]
      const left = joinCursors(joinCursors(a, b), c)
      const right = joinCursors(a, joinCursors(c, b))
      expect(isSameCursor(left, right)).toBe(true)
      expect(isSameCursor(joinCursors(left, a), left)).toBe(true)
      expect(valueOf(left, topicId, digests)).toBe(valueOf(right, topicId, digests))
    }),
  )
})

test('a state is read from its record as it was written', () => {
  fc.assert(
    fc.property(histories, (history) => {
      const states = statesAfter(history)
      const { text, count } = encodeCursors(states)
      const decoded = decodeCursors(text) ?? []
      expect([count, decoded.length]).toEqual([3, 3])
      for (const [i, state] of states.entries()) expect(decoded[i]).toEqual(state)
    }),
  )
})

test.each([
  ['no JSON', 'cursors', undefined],
  ['another record', '{"topics":[]}', undefined],
  ['a state without a name', '{"cursors":[{"topic":"orders","seen":{},"values":{}}]}', []],
  ['a name that is none', '{"cursors":[{"topic":"orders","name":"a b","seen":{},"values":{}}]}', []],
  [
    'a value that its state has not seen',
    `{"cursors":[{"topic":"orders","name":"a","seen":{},"values":{"${runs[0]}.1":"x"}}]}`,
    [],
  ],
  [
    'a value that is no text',
    `{"cursors":[{"topic":"orders","name":"a","seen":{"${runs[0]}":1},"values":{"${runs[0]}.1":7}}]}`,
    [],
  ],
])('%s says nothing', (_, text, states) => {
  expect(decodeCursors(text)).toEqual(states)
})

test('what was stored at once by many has a bound in the record, and can be read', () => {
  let state = nothing
  for (let i = 0; i < 400; i++) {
    const run = runOf('12D3KooWoak' as PeerId, i.toString(16).padStart(16, '0'))
    state = joinCursors(state, editCursor(nothing, run, 'x'.repeat(limits.namedCursorTextMax)))
  }
  const { text } = encodeCursors([state])
  expect(text.length).toBeLessThan(limits.recordBytesMax)
  expect(decodeCursors(text)?.[0]?.values.size).toBe(limits.namedCursorValuesMax)
})
