// What a token grants: a table of patterns against names, and laws that hold for whatever patterns and names there are.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Action, type Grants, isGranted, isGrantedInPart, parseGrantPattern, parseGrants } from './grants.ts'
import { limits } from './limits.ts'
import { matchesTopic, parseTopicPattern, type TopicName, type TopicPattern } from './topic-name.ts'

const grantsOf = (value: unknown): Grants => {
  const grants = parseGrants(value)
  if (typeof grants === 'string') throw new Error(grants)
  return grants
}

const may = (pattern: string, action: Action, name: string) =>
  isGranted(grantsOf({ [action]: [pattern] }), action, name as TopicName)

test.each([
  ['orders', 'orders', true],
  ['orders', 'orders.eu', false],
  ['orders', 'Orders', false],
  ['orders.*', 'orders.eu', true],
  ['orders.*', 'orders.eu.today', false],
  ['orders.*', 'orders', false],
  ['orders.**', 'orders.eu.today', true],
  ['orders.**', 'orders', false],
  ['**', 'orders', true],
  ['*.eu', 'orders.eu', true],
  // What belongs to the mesh is granted by its name alone.
  ['**', '$topics', false],
  ['*', '$mesh', false],
  ['$mesh', '$mesh', true],
  ['$topics', '$topics', true],
  ['$topics', '$mesh', false],
])('%s grants %s: %s', (pattern, name, granted) => {
  for (const action of ['publish', 'subscribe', 'manage'] as const) expect(may(pattern, action, name)).toBe(granted)
})

test('what is left of a deleted topic is read by who may read the topic, and no more', () => {
  expect(may('orders', 'subscribe', '$deleted.orders.0')).toBe(true)
  expect(may('bills', 'subscribe', '$deleted.orders.0')).toBe(false)
  expect(may('orders', 'manage', '$deleted.orders.0')).toBe(false)
})

test('one action is not another', () => {
  const grants = grantsOf({ publish: ['orders'] })
  expect(isGranted(grants, 'subscribe', 'orders' as TopicName)).toBe(false)
  expect(isGranted(grants, 'manage', 'orders' as TopicName)).toBe(false)
})

test.each([
  [[], /object/],
  ['all', /object/],
  [{ Publish: ['a'] }, /"Publish"/],
  [{ publish: 'orders' }, /array/],
  [{ publish: Array.from({ length: limits.grantPatternsMax + 1 }, () => 'a') }, /at most/],
  [{ subscribe: ['a', 'a..b'] }, /subscribe\[1\]/],
  [{ subscribe: ['$groups'] }, /subscribe\[0\]/],
  [{ subscribe: ['$deleted.orders.0'] }, /subscribe\[0\]/],
  [{ subscribe: ['a.**.b'] }, /subscribe\[0\]/],
])('%j are no grants', (value, complaint) => {
  expect(parseGrants(value)).toMatch(complaint)
})

// Few words, so that names and patterns meet.
const token = fc.constantFrom('a', 'b', 'c')
const nameText = fc.array(token, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('.') as TopicName)
const patternText = fc
  .tuple(fc.array(fc.oneof(token, fc.constant('*')), { maxLength: 3 }), fc.constantFrom('a', '*', '**'))
  .map(([parts, last]) => [...parts, last].join('.'))
const allNames = (depth: number): string[] =>
  depth === 0
    ? []
    : ['a', 'b', 'c', 'z'].flatMap((first) => [first, ...allNames(depth - 1).map((rest) => `${first}.${rest}`)])

test('a wildcard subscription gets what both it and the grant match, and is refused when there can be no such topic', () => {
  const names = allNames(5)
  fc.assert(
    fc.property(patternText, patternText, (granted, wanted) => {
      const grants = grantsOf({ subscribe: [granted] })
      const both = names.some((name) => {
        const isWanted = matchesTopic(wanted as TopicPattern, name as TopicName)
        return isWanted && isGranted(grants, 'subscribe', name as TopicName)
      })
      expect(isGrantedInPart(grants, 'subscribe', parseTopicPattern(wanted) as TopicPattern)).toBe(both)
    }),
    { numRuns: 1_000 },
  )
})

test('a name is a pattern that matches itself: asked either way the answer is the same', () => {
  fc.assert(
    fc.property(patternText, nameText, (granted, name) => {
      const grants = grantsOf({ publish: [granted] })
      const inPart = isGrantedInPart(grants, 'publish', name as string as TopicPattern)
      expect(inPart).toBe(isGranted(grants, 'publish', name))
    }),
    { numRuns: 1_000 },
  )
})

test('whatever is no pattern grants nothing', () => {
  fc.assert(
    fc.property(fc.anything(), (text) => {
      const pattern = parseGrantPattern(text)
      if (pattern !== undefined) expect(text).toMatch(/^(\$mesh|\$topics|[A-Za-z0-9_*.-]+)$/)
    }),
  )
})
