import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { PeerId } from '#protocol/ids'
import { claimOf, MemberTable, type SuspicionTime, supersedes } from './member.ts'
import type { MemberState, MemberUpdate } from './messages.ts'
import { peerOf, rumor } from './test-mesh.ts'

// Goal: one rule decides between two claims, and it makes every peer believe the same whatever arrives first.
// Method: the whole table of the rule, then its laws.

const states: readonly MemberState[] = ['alive', 'suspect', 'dead', 'left']
const [oak, elm, ash, fir, yew] = ['oak', 'elm', 'ash', 'fir', 'yew'].map(peerOf) as [
  PeerId,
  PeerId,
  PeerId,
  PeerId,
  PeerId,
]

test.each<[claim: MemberState, known: MemberState, earlier: boolean, same: boolean, later: boolean]>([
  // Does the claim replace what is known when its incarnation is …      earlier  the same  later?
  ['alive', 'alive', false, false, true],
  ['alive', 'suspect', false, false, true],
  ['alive', 'dead', false, false, true],
  ['alive', 'left', false, false, true],
  ['suspect', 'alive', false, true, true],
  ['suspect', 'suspect', false, false, true],
  ['suspect', 'dead', false, false, true],
  ['suspect', 'left', false, false, true],
  ['dead', 'alive', false, true, true],
  ['dead', 'suspect', false, true, true],
  ['dead', 'dead', false, false, true],
  ['dead', 'left', false, false, true],
  ['left', 'alive', false, true, true],
  ['left', 'suspect', false, true, true],
  ['left', 'dead', false, true, true],
  ['left', 'left', false, false, true],
])('%s against %s: earlier %s, same incarnation %s, later %s', (claim, known, earlier, same, later) => {
  const wins = (incarnation: number): boolean =>
    supersedes({ state: claim, incarnation }, { state: known, incarnation: 5 })
  expect([wins(4), wins(5), wins(6)]).toEqual([earlier, same, later])
})

const claims = fc.record({ state: fc.constantFrom(...states), incarnation: fc.nat({ max: 3 }) })

test('of two different claims exactly one supersedes the other, and the rule is transitive', () => {
  fc.assert(
    fc.property(claims, claims, claims, (a, b, c) => {
      const isSame = a.state === b.state && a.incarnation === b.incarnation
      expect(Number(supersedes(a, b)) + Number(supersedes(b, a))).toBe(isSame ? 0 : 1)
      if (supersedes(a, b) && supersedes(b, c)) expect(supersedes(a, c)).toBe(true)
    }),
  )
})

/** Half the time for each of two that confirm. */
const at = (nowMs: number): SuspicionTime => ({
  nowMs,
  timeoutMs: (confirmations) => 16_000 / 2 ** confirmations,
  confirmationsMax: 2,
})

test('the order in which claims arrive, and how often, does not matter', () => {
  const believed = (updates: readonly MemberUpdate[]): unknown => {
    const table = new MemberTable(supersedes)
    for (const update of updates) table.believe(update, at(0))
    const member = table.get(oak)
    return member && claimOf(member)
  }
  const shuffledClaims = fc
    .array(claims, { minLength: 1, maxLength: 8 })
    .chain((list) =>
      fc.tuple(fc.constant(list), fc.shuffledSubarray([...list, ...list], { minLength: list.length * 2 })),
    )
  fc.assert(
    fc.property(shuffledClaims, ([list, again]) => {
      const updates = (some: typeof list): MemberUpdate[] =>
        some.map(({ state, incarnation }) => rumor(oak, state, incarnation, elm))
      expect(believed(updates(again))).toEqual(believed(updates(list)))
    }),
  )
})

test('a suspicion that is shared already gains an accuser, if that accuser is a member', () => {
  const table = new MemberTable(supersedes)
  const time = at(0)
  table.believe(rumor(oak, 'alive', 1, oak), time)
  table.believe(rumor(ash, 'alive', 1, ash), time)
  expect(table.believe(rumor(oak, 'suspect', 1, elm), time)).toMatchObject({ from: 'alive' })
  expect(table.believe(rumor(oak, 'suspect', 1, peerOf('nobody')), time)).toBeUndefined()
  expect(table.believe(rumor(oak, 'suspect', 1, ash), at(1_000))).toMatchObject({ from: 'suspect' })
  expect(table.believe(rumor(oak, 'suspect', 1, ash), time)).toBeUndefined()
  const accusers = new Set([elm, ash])
  expect(table.get(oak)?.status).toEqual({ type: 'suspect', accusers, fromMs: 0, deadAtMs: 8_000 })
})

test('accusers come with the word of others too, each once, the suspect aside, and no more than matter', () => {
  const table = new MemberTable(supersedes)
  for (const peer of [oak, ash, fir, yew]) table.believe(rumor(peer, 'alive', 1, peer), at(0))
  const confirmed = { ...rumor(oak, 'suspect', 1, ash), confirmedBy: [oak, ash, peerOf('nobody'), fir, yew] }
  table.believe(confirmed, at(0))
  const accusers = new Set([ash, fir, yew])
  expect(table.get(oak)?.status).toEqual({ type: 'suspect', accusers, fromMs: 0, deadAtMs: 4_000 })
  expect(table.believe(rumor(oak, 'suspect', 1, elm), at(0))).toBeUndefined()
})

test('a member keeps its time in a state when only its incarnation rises', () => {
  const table = new MemberTable(supersedes)
  table.believe(rumor(oak, 'alive', 1, oak), at(100))
  table.believe(rumor(oak, 'alive', 2, oak), at(900))
  expect(table.get(oak)).toMatchObject({ incarnation: 2, sinceMs: 100 })
})
