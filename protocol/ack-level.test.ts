// Goal: what a topic asks at least is added to what a publish asks, and nothing is taken away. Method: tables and laws.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type AckLevel, ackLevelText, copiesNeeded, parseAckLevel, strictest } from './ack-level.ts'

const level = (text: string): AckLevel => parseAckLevel(text) as AckLevel
const anyLevel = fc
  .tuple(fc.constantFrom('', 'n:1', 'n:2', 'n:3', 'n:9'), fc.constantFrom('', 'majority', 'all'))
  .map((parts) => level(parts.filter((part) => part !== '').join('+') || 'local'))

describe('a level', () => {
  test.each(['local', 'n:1', 'n:9999', 'majority', 'all', 'n:5+majority', 'n:2+all'])(
    '%s is read as it is written',
    (text) => {
      expect(ackLevelText(level(text))).toBe(text)
    },
  )

  test.each(['', 'n:0', 'n:01', 'n:10000', 'n:2+', 'n:2+local', 'majority+n:2', 'ALL', 'quorum'])(
    '%j is none',
    (text) => {
      expect(parseAckLevel(text)).toBeUndefined()
    },
  )

  test.each([
    ['local', [[1, false]]],
    ['n:4', [[4, false]]],
    ['majority', [[2, true]]],
    ['all', [[3, true]]],
    [
      'n:4+majority',
      [
        [4, false],
        [2, true],
      ],
    ],
  ] as const)('%s of a home of three needs %j', (text, needs) => {
    expect(copiesNeeded(level(text), 3).map(({ count, homeOnly }) => [count, homeOnly])).toEqual(needs)
  })
})

describe('the strictest of two levels', () => {
  test.each([
    ['local', 'majority', 'majority'],
    ['n:1', 'local', 'local'],
    ['n:2', 'n:3', 'n:3'],
    ['majority', 'all', 'all'],
    ['n:5', 'majority', 'n:5+majority'],
    ['n:5+majority', 'all', 'n:5+all'],
  ])('of %s and %s is %s', (a, b, both) => {
    expect(ackLevelText(strictest(level(a), level(b)))).toBe(both)
  })

  test('is not reached by nobody, where nobody is at home', () => {
    for (const type of ['majority', 'all'] as const)
      expect(copiesNeeded({ type }, 0)).toEqual([{ count: 1, homeOnly: true }])
  })

  test('needs all that either needs, whatever the home', () => {
    fc.assert(
      fc.property(anyLevel, anyLevel, fc.integer({ min: 1, max: 9 }), (a, b, homeCount) => {
        const needs = copiesNeeded(strictest(a, b), homeCount)
        for (const need of [...copiesNeeded(a, homeCount), ...copiesNeeded(b, homeCount)]) {
          const isMet = needs.some(({ count, homeOnly }) => count >= need.count && (homeOnly || !need.homeOnly))
          expect(isMet).toBe(true)
        }
      }),
    )
  })

  test('is commutative, associative and idempotent', () => {
    fc.assert(
      fc.property(anyLevel, anyLevel, anyLevel, (a, b, c) => {
        expect(strictest(a, b)).toEqual(strictest(b, a))
        expect(strictest(a, strictest(b, c))).toEqual(strictest(strictest(a, b), c))
        expect(strictest(strictest(a, a), a)).toEqual(strictest(a, a))
      }),
    )
  })
})
