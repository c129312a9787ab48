// Goal: whatever peers edit and delete on whatever side of a split, they end with one state, and it protects what was asked.
// Method: random histories of three replicas that edit, delete and hear of each other; laws over all states on the way.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseAckLevel, type AckLevel } from '#protocol/ack-level'
import type { Hash } from '#protocol/ids'
import { pureDigests } from '#protocol/log/pure-digests'
import type { TopicName } from '#protocol/topic-name'
import type { AskedConfig } from '#protocol/topic-config'
import type { Run } from './register.ts'
import { encodeState } from './topic-records.ts'
import {
  configOf,
  deleteState,
  editState,
  exists,
  isSameState,
  joinStates,
  keepersOf,
  type TopicState,
  unknownTopic,
  versionOf,
} from './topic-state.ts'

const orders = 'orders' as TopicName
const unknown = unknownTopic(orders)
const runs = [
  'oak.00000000000000a1',
  'elm.00000000000000e1',
  'ash.00000000000000f1',
] as readonly string[] as readonly Run[]
const [oak, elm] = runs as [Run, Run]
const level = (text: string): AckLevel => parseAckLevel(text) as AckLevel
const day = 86_400_000

const edited = (state: TopicState, run: Run, asked: AskedConfig): TopicState => editState(state, { run, asked })
const removed = (state: TopicState, run: Run, nextOffset = 0): TopicState =>
  deleteState(state, {
    by: new Map([[run.split('.')[0] as never, 1]]),
    upTo: new Map([[run, { nextOffset, hash: 'ab'.repeat(32) as Hash }]]),
  })

describe('an edit', () => {
  test('replaces what it has seen, also by asking for less', () => {
    const first = edited(unknown, oak, { replicas: 5, retention: { ageMs: 2 * day }, minAck: level('all') })
    const second = edited(first, elm, { replicas: 2, retention: { ageMs: day }, minAck: level('local') })
    expect(configOf(joinStates(first, second))).toEqual({
      replicas: 2,
      retention: { ageMs: day },
      minAck: level('local'),
    })
  })

  test('leaves alone what it says nothing of', () => {
    const first = edited(unknown, oak, { replicas: 5, minAck: level('majority') })
    expect(configOf(edited(first, elm, { replicas: 4 }))).toEqual({
      replicas: 4,
      retention: {},
      minAck: level('majority'),
    })
  })

  test('that another one did not see holds beside it: the larger, the longer, the stricter', () => {
    const seen = edited(unknown, oak, { replicas: 3 })
    const here = edited(seen, oak, { replicas: 2, retention: { ageMs: day, bytes: 100 }, minAck: level('n:4') })
    const there = edited(seen, elm, { retention: { ageMs: 2 * day, records: 7 }, minAck: level('majority') })
    const both = joinStates(here, there)
    // Elm did not touch the replicas, so oak's word on them stands; a limit that one of them does not set limits nothing.
    expect(configOf(both)).toEqual({ replicas: 2, retention: { ageMs: 2 * day }, minAck: level('n:4+majority') })
    expect(configOf(edited(both, elm, { retention: { ageMs: day } })).retention).toEqual({ ageMs: day })
  })

  test('that asks for nothing makes a topic with the defaults, and takes nothing from who asks meanwhile', () => {
    const byPublish = edited(unknown, oak, {})
    const byPut = edited(unknown, elm, { replicas: 2, retention: { ageMs: day } })
    expect(configOf(byPublish)).toEqual({ replicas: 3, retention: {}, minAck: level('local') })
    expect(configOf(joinStates(byPublish, byPut))).toMatchObject({ replicas: 2, retention: { ageMs: day } })
  })
})

describe('a deletion', () => {
  const born = edited(unknown, oak, { replicas: 5 })

  test('takes the configuration with it, and the name is free', () => {
    const gone = removed(born, oak)
    expect(exists(gone)).toBe(false)
    expect(gone.generation).toBe(1)
    expect(configOf(edited(gone, elm, {})).replicas).toBe(3)
  })

  test('is not undone by an edit that did not see it', () => {
    const gone = removed(born, oak)
    const late = edited(edited(born, elm, { replicas: 7 }), elm, { minAck: level('all') })
    expect(joinStates(late, gone)).toEqual(gone)
  })

  test('on both sides of a split has seen what either saw', () => {
    const both = joinStates(removed(born, oak, 7), removed(born, elm, 3))
    expect(both.generation).toBe(1)
    const tombstone = both.deleted.get(0)
    expect([...(tombstone?.by.keys() ?? [])].toSorted()).toEqual(['elm', 'oak'])
    expect(tombstone?.upTo.get(oak)?.nextOffset).toBe(7)
    expect(tombstone?.upTo.get(elm)?.nextOffset).toBe(3)
  })

  test('is remembered, of the newest generations with what was seen', () => {
    let state = unknown
    for (let generation = 0; generation < 9; generation++) state = removed(edited(state, oak, {}), oak, generation)
    expect(state.generation).toBe(9)
    expect([...state.deleted.keys()].toSorted((a, b) => a - b)).toEqual([5, 6, 7, 8])
  })
})

test('a version names what holds: equal where the same edits are known, another after each edit and deletion', () => {
  const versions = [edited(unknown, oak, {})]
  versions.push(edited(versions[0] as TopicState, elm, { replicas: 4 }))
  versions.push(removed(versions[1] as TopicState, oak))
  const texts = versions.map((state) => versionOf(state, pureDigests))
  expect(new Set(texts).size).toBe(3)
  expect(versionOf(joinStates(versions[1] as TopicState, versions[0] as TopicState), pureDigests)).toBe(texts[1])
})

// Laws -----------------------------------------------------------------------------------------------------------------

type Step = { readonly at: number } & (
  | { readonly type: 'edit'; readonly asked: AskedConfig }
  | { readonly type: 'delete'; readonly nextOffset: number }
  | { readonly type: 'hear'; readonly from: number }
)

const askedConfigs = fc.record(
  {
    replicas: fc.integer({ min: 1, max: 9 }),
    retention: fc.record(
      { ageMs: fc.integer({ min: 1, max: 9 }), bytes: fc.integer({ min: 1, max: 9 }) },
      { requiredKeys: [] },
    ),
    minAck: fc.constantFrom('local', 'n:2', 'n:5', 'majority', 'all').map(level),
  },
  { requiredKeys: [] },
)
const at = fc.integer({ min: 0, max: 2 })
const edits = fc.record({ type: fc.constant('edit' as const), at, asked: askedConfigs })
const deletions = fc.record({ type: fc.constant('delete' as const), at, nextOffset: fc.integer({ min: 0, max: 9 }) })
const hearings = fc.record({ type: fc.constant('hear' as const), at, from: at })
const histories = (...kinds: readonly fc.Arbitrary<Step>[]) => fc.array(fc.oneof(...kinds), { maxLength: 20 })

/** Every state that some replica was in, in order, and the last one of each. */
function play(steps: readonly Step[]): { readonly all: readonly TopicState[]; readonly last: readonly TopicState[] } {
  const last = runs.map(() => unknown)
  const all = [unknown]
  for (const step of steps) {
    const state = last[step.at] as TopicState
    last[step.at] = next(state, step, last)
    all.push(last[step.at] as TopicState)
  }
  return { all, last }
}

function next(state: TopicState, step: Step, others: readonly TopicState[]): TopicState {
  const run = runs[step.at] as Run
  if (step.type === 'edit') return edited(state, run, step.asked)
  if (step.type === 'hear') return joinStates(state, others[step.from] as TopicState)
  return exists(state) ? removed(state, run, step.nextOffset) : state
}

const joinAll = (states: readonly TopicState[]): TopicState => states.reduce(joinStates, unknown)
const anySteps = histories({ arbitrary: edits, weight: 3 } as never, deletions, {
  arbitrary: hearings,
  weight: 3,
} as never)
const same = (a: TopicState, b: TopicState): void => {
  expect(encodeState(a)).toBe(encodeState(b))
  expect(isSameState(a, b)).toBe(true)
}

test('joining is commutative, associative and idempotent', () => {
  fc.assert(
    fc.property(anySteps, fc.nat(), fc.nat(), fc.nat(), (steps, i, j, k) => {
      const { all } = play(steps)
      const [a, b, c] = [i, j, k].map((index) => all[index % all.length]) as [TopicState, TopicState, TopicState]
      same(joinStates(a, a), a)
      same(joinStates(a, b), joinStates(b, a))
      same(joinStates(a, joinStates(b, c)), joinStates(joinStates(a, b), c))
    }),
    { numRuns: 1_000 },
  )
})

test('states are the same if they are written the same', () => {
  fc.assert(
    fc.property(anySteps, fc.nat(), fc.nat(), (steps, i, j) => {
      const { all } = play(steps)
      const [a, b] = [i, j].map((index) => all[index % all.length]) as [TopicState, TopicState]
      expect(isSameState(a, b)).toBe(encodeState(a) === encodeState(b))
    }),
    { numRuns: 500 },
  )
})

test('the order in which states are heard, and how often, does not matter', () => {
  fc.assert(
    fc.property(
      anySteps.chain((steps) =>
        fc.tuple(fc.constant(steps), fc.shuffledSubarray([...play(steps).all], { minLength: steps.length + 1 })),
      ),
      ([steps, shuffled]) => {
        const { last } = play(steps)
        same(joinAll(shuffled), joinAll(last))
        same(joinAll([...shuffled, ...shuffled.toReversed()]), joinAll(last))
      },
    ),
  )
})

test('no field falls below what an edit asked for, unless a later edit has seen it', () => {
  fc.assert(
    fc.property(histories(edits, hearings), (steps) => {
      const { last } = play(steps)
      const standing = replicasNeverReplaced(steps)
      expect(configOf(joinAll(last)).replicas).toBe(standing.length === 0 ? 3 : Math.max(...standing))
    }),
  )
})

/** As a model of sets: who knows of which edits, and which were known to a later edit of the same field. */
function replicasNeverReplaced(steps: readonly Step[]): readonly number[] {
  const known = runs.map(() => new Set<Step>())
  const replaced = new Set<Step>()
  for (const step of steps) {
    const own = known[step.at] as Set<Step>
    if (step.type === 'hear') for (const other of known[step.from] as Set<Step>) own.add(other)
    if (step.type !== 'edit' || step.asked.replicas === undefined) continue
    for (const earlier of own) replaced.add(earlier)
    own.add(step)
  }
  const all = known.flatMap((some) => [...some])
  return all.flatMap((step) => (step.type === 'edit' && !replaced.has(step) ? (step.asked.replicas ?? []) : []))
}

test('what the keepers of a state last said of it is all of it', () => {
  fc.assert(
    fc.property(anySteps, (steps) => {
      const { last } = play(steps)
      const whole = joinAll(last)
      // Each run wrote down its state after each edit and deletion of its own; only the last words of keepers remain.
      const written = lastWritten(steps)
      const kept = [...written].filter(([run]) => [...keepersOf(whole)].some((peer) => run.startsWith(`${peer}.`)))
      expect(versionOf(joinAll(kept.map(([, state]) => state)), pureDigests)).toBe(versionOf(whole, pureDigests))
      expect(joinAll(kept.map(([, state]) => state)).generation).toBe(whole.generation)
    }),
    { numRuns: 500 },
  )
})

function lastWritten(steps: readonly Step[]): ReadonlyMap<Run, TopicState> {
  const states = runs.map(() => unknown)
  const written = new Map<Run, TopicState>()
  for (const step of steps) {
    const after = next(states[step.at] as TopicState, step, states)
    if (step.type !== 'hear' && after !== states[step.at]) written.set(runs[step.at] as Run, after)
    states[step.at] = after
  }
  return written
}
