// Goal: the figures of a report follow from what was observed, and what was expected and did not come is said. Method: a run made
// by hand: oak alone for ten seconds, elm and ash on the other side.
import { expect, test } from 'vitest'
import type { Change } from './beliefs.ts'
import { Findings } from './ledger/findings.ts'
import { publish, refused } from './ledger/sample-history.ts'
import { sumOf } from './ledger/sums.ts'
import { type Observed, reportIn, reportOf } from './report.ts'
import { reportRow, reportText } from './report-text.ts'
import { parseScenario } from './scenario.ts'
import { timelineSvg } from './timeline.ts'

const scenario = parseScenario(`
name: one-alone
about: a sample
peers: oak,elm,ash
steps:
  - { at: 2s, split: 'oak / elm,ash' }
  - { at: 12s, heal: all }
end: 14s
expect: { noticed: 5s, converged: 3s }`)

const seen = (observer: string, subject: string, ...changes: [atMs: number, state: Change['state']][]) => ({
  observer,
  subject,
  changes: [
    { atMs: 0, state: 'alive' as const },
    ...changes.map(([atMs, state]) => ({ atMs, state, reason: '<no answer>' })),
  ],
})

function observed(more: Partial<Observed> = {}): Observed {
  const at = (peer: string, invokedAtMs: number) => ({ at: peer, invokedAtMs: 50_000 + invokedAtMs })
  return {
    scenario,
    via: 'peers',
    startedAt: '2026-11-27T12:00:00.000Z',
    version: '0.1.0',
    topic: 'lab',
    startMs: 50_000,
    doneAtMs: [2_000, 12_000],
    endMs: 14_000,
    convergedAfterMs: [1_500],
    settledAfterMs: 100,
    publishes: [
      publish('oak', [0, 10], at('oak', 1_999)),
      publish('oak', [10, 20], at('oak', 2_000)),
      publish('elm', [0, 30], at('elm', 5_000)),
      publish('ash', [0, 40], at('ash', 11_999)),
      publish('ash', [40, 50], at('ash', 12_000)),
    ],
    heals: [],
    beliefs: [
      seen('oak', 'elm', [3_000, 'suspect'], [5_000, 'dead'], [12_500, 'alive']),
      seen('oak', 'ash', [4_000, 'suspect'], [6_000, 'dead']),
      seen('elm', 'oak', [3_500, 'suspect'], [4_500, 'dead']),
      seen('ash', 'oak', [3_600, 'suspect'], [4_500, 'dead']),
      seen('elm', 'ash', [2_100, 'suspect'], [2_200, 'alive']),
    ],
    missedEvents: 0,
    faults: sumOf([]).faults,
    figures: sumOf([]).figures,
    ...more,
  }
}

test('accepted per side while they were apart, and when who noticed', () => {
  const report = reportOf(observed())
  const counts = { refused: 0, unanswered: 0 }
  expect(report.apart).toEqual([
    {
      fromMs: 2_000,
      toMs: 12_000,
      sides: [
        { peers: ['oak'], accepted: 20, ...counts },
        { peers: ['elm', 'ash'], accepted: 70, ...counts },
      ],
      firstNoticedAfterMs: 1_000,
      noticedAfterMs: 2_000,
      deadAfterMs: 4_000,
    },
  ])
  expect(report.records).toMatchObject({ accepted: 150, refused: 0, lost: 0 })
  expect(report.heals).toEqual([{ atMs: 12_000, convergedAfterMs: 1_500 }])
  expect(report.failed).toEqual([])
  expect(reportText(report)).toContain('as expected')
})

test('who never noticed, or only when it was over, has not noticed', () => {
  const beliefs = [seen('oak', 'elm', [12_001, 'suspect']), seen('elm', 'oak', [2_000, 'suspect'])]
  const report = reportOf(observed({ beliefs }))
  expect(report.apart).toMatchObject([{ firstNoticedAfterMs: 0 }])
  expect(report.apart[0]).not.toHaveProperty('noticedAfterMs')
  expect(report.failed).toEqual(['the cut at 2.0 s was not noticed by all within 5.0 s'])
})

const oneLost = (): Findings => {
  const lost = new Findings()
  lost.add('oak 7 is not there')
  return lost
}

test.each([
  [{ publishes: [refused(publish('oak', [0, 3]))] }, '3 records were refused, not at most 0'],
  [{ convergedAfterMs: [3_001] }, 'not all had all within 3.0 s after the last heal'],
  [{ convergedAfterMs: [undefined] }, 'not all had all within 3.0 s after the last heal'],
  [{ faults: { lost: oneLost() } }, 'lost: 1, such as oak 7 is not there'],
  [{ missedEvents: 2 }, '2 events of peers were gone before they were asked for'],
])('%j is not as expected', (more, complaint) => {
  const report = reportOf(observed(more))
  expect(report.failed).toEqual([complaint])
  expect(reportText(report)).toContain(`NOT AS EXPECTED:\n  ${complaint}`)
  expect(reportRow(report)).toContain(complaint)
})

test('a run that never settles is not as expected', () => {
  const { settledAfterMs, ...rest } = observed()
  expect(settledAfterMs).toBe(100)
  expect(reportOf(rest).failed).toEqual(['in the end not all had all, with the same bytes, and saw each other'])
})

test('the picture has a bar for each belief, within the run, and no markup of strangers', () => {
  const svg = timelineSvg(reportOf(observed()))
  const bars = (state: string): number => svg.split(`<rect class="${state}" `).length - 1
  // One more of each is in the key; elm was back at 12.5 s.
  expect({ alive: bars('alive'), suspect: bars('suspect'), dead: bars('dead') }).toEqual({
    alive: 8,
    suspect: 6,
    dead: 5,
  })
  expect(svg).toContain('oak sees elm suspect from 3.0 s: &lt;no answer&gt;')
  expect(svg).not.toContain('<no answer>')
  const ends = [...svg.matchAll(/<rect class="(?:alive|suspect|dead)" x="([\d.]+)" y="\d+" width="([\d.]+)"/g)].map(
    ([, x, width]) => Number(x) + Number(width),
  )
  expect(Math.max(...ends)).toBeLessThanOrEqual(980.1)
  expect(svg).not.toMatch(/https?:(?!\/\/www\.w3\.org\/2000\/svg)|<script|@import|NaN/)
})

test('a report is read again as it was written, and nothing else is taken for one', () => {
  const report = reportOf(observed())
  expect(reportIn(JSON.stringify(report))).toEqual(report)
  const { steps, ...less } = report
  expect(steps).toHaveLength(2)
  for (const text of [
    '',
    'null',
    '[]',
    '{"format":"grapevine-lab-1"}',
    JSON.stringify(less),
    JSON.stringify({ ...report, format: 'x' }),
  ])
    expect(reportIn(text)).toBeUndefined()
})
