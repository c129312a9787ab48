// Goal: what a scenario may hold, what each word means, and that a wrong one is refused with its place. Method: texts, and the
// files that come along.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { MeshError } from '#protocol/errors'
import { parseScenario } from './scenario.ts'

const yaml = (steps: string, more = ''): string => `
name: sample
about: a sample
peers: oak, elm, ash
steps:
${steps}
end: 10s
${more}`

const cut = (from: string, to: string) => ({ type: 'cut', from: from.split(','), to: to.split(',') })

test('steps in the order of their times, whatever theirs in the file', () => {
  const scenario = parseScenario(yaml("  - { at: 5s, heal: all }\n  - { at: 300ms, split: 'oak / elm' }", 'rate: 7'))
  expect(scenario).toMatchObject({ peers: ['oak', 'elm', 'ash'], joining: [], recordsPerSecond: 7, endMs: 10_000 })
  expect(scenario.steps.map(({ atMs, text }) => [atMs, text])).toEqual([
    [300, 'split oak / elm'],
    [5_000, 'heal all'],
  ])
})

test('a split cuts each side off from all others, both ways', () => {
  const [step] = parseScenario(yaml("  - { at: 1s, split: 'oak/elm / ash' }")).steps
  const ways = ['oak elm', 'oak ash', 'elm oak', 'elm ash', 'ash oak', 'ash elm'].map((way) => way.split(' '))
  expect(step?.actions).toEqual(ways.map(([from = '', to = '']) => cut(from, to)))
})

test('a cut has one direction; a link two, or one', () => {
  const { steps } = parseScenario(
    yaml(`  - { at: 1s, cut: 'elm,ash -> oak' }
  - { at: 2s, link: 'oak <-> elm', loss: 0.3, delay: 200ms }
  - { at: 3s, link: 'oak -> elm', loss: 1 }`),
  )
  const way = { type: 'link', loss: 0.3, delayMs: 200 }
  expect(steps.map(({ actions }) => actions)).toEqual([
    [cut('elm,ash', 'oak')],
    [
      { ...way, from: 'oak', to: 'elm' },
      { ...way, from: 'elm', to: 'oak' },
    ],
    [{ type: 'link', from: 'oak', to: 'elm', loss: 1, delayMs: 0 }],
  ])
  expect(steps[1]?.text).toBe('link oak <-> elm loss 0.3 delay 200ms')
})

test('who joins is not up from the beginning', () => {
  expect(parseScenario(yaml('  - { at: 1s, join: elm }'))).toMatchObject({ peers: ['oak', 'ash'], joining: ['elm'] })
})

test.each([
  ['  - { at: 1, heal: all }', 'steps.0.at: Invalid input: expected string'],
  ['  - { at: 1x, heal: all }', 'steps.0.at: is a duration'],
  ['  - { at: 1s }', 'steps.0: one of split, cut, link, join and heal'],
  ["  - { at: 1s, heal: all, split: 'oak / elm' }", 'steps.0: one of'],
  ['  - { at: 1s, burn: oak }', 'steps.0: Unrecognized key: "burn"'],
  ["  - { at: 1s, split: 'oak,elm' }", 'steps.0: a split has sides'],
  ["  - { at: 1s, split: 'oak / ' }", 'steps.0: a split has sides'],
  ["  - { at: 1s, cut: 'oak elm' }", 'steps.0: oak -> elm,ash, not oak elm'],
  ["  - { at: 1s, link: 'oak, elm' }", 'steps.0: oak -> elm,ash, not oak, elm'],
  ["  - { at: 1s, split: 'oak / elm', loss: 0.3 }", 'steps.0: loss and delay are for link'],
  ["  - { at: 1s, split: 'oak / fir' }", 'fir is none of the peers'],
  ["  - { at: 1s, split: 'oak / oak,elm' }", 'a peer cannot be cut off from itself'],
  ['  - { at: 11s, heal: all }', '"heal all" comes after the end'],
  ['  - { at: 1s, join: elm }\n  - { at: 2s, join: elm }', 'somebody joins twice'],
  ['  - [', 'Flow sequence'],
])('%s is refused', (steps, complaint) => {
  let refusal: unknown
  try {
    parseScenario(yaml(steps))
  } catch (error) {
    refusal = error
  }
  expect(refusal).toBeInstanceOf(MeshError)
  expect(refusal).toMatchObject({ code: 'SCENARIO_INVALID', message: expect.stringContaining(complaint) as string })
})

const folder = join(import.meta.dirname, 'scenarios')

test.each(readdirSync(folder))('%s is one, is called so, and ends whole', (file) => {
  const { name, steps } = parseScenario(readFileSync(join(folder, file), 'utf8'))
  expect(`${name}.yaml`).toBe(file)
  expect(steps.at(-1)?.actions).toEqual([{ type: 'heal' }])
})
