import type { HealView } from '#protocol/views'
import type { BackEndName } from './back-end.ts'
import type { Belief } from './beliefs.ts'
import type { Findings } from './ledger/findings.ts'
import type { LedgerMs, Publish } from './ledger/history.ts'
import type { ReadingFigures } from './ledger/sums.ts'
import type { Expectations, Scenario } from './scenario.ts'
import { type Apart, timesApart } from './sides.ts'
import { defined } from './defined.ts'
import { secondsText, wordsOf } from './words.ts'

/** What a run has brought to light; times are of the run, except of publishes. */
export interface Observed {
  readonly scenario: Scenario
  readonly via: BackEndName
  readonly startedAt: string
  readonly version: string
  readonly topic: string
  /** When the run began, by the clock of the ledger. */
  readonly startMs: LedgerMs
  /** When each step was done, in the order of the scenario. */
  readonly doneAtMs: readonly number[]
  /** When the load ended. */
  readonly endMs: number
  /** From each heal until everybody had what was accepted before it. */
  readonly convergedAfterMs: readonly (number | undefined)[]
  /** From the end of the load until all had all, homes the same bytes, and everybody saw everybody. */
  readonly settledAfterMs?: number
  readonly publishes: readonly Publish[]
  readonly heals: readonly { readonly at: string; readonly heal: HealView }[]
  readonly beliefs: readonly Belief[]
  readonly missedEvents: number
  readonly faults: Readonly<Record<string, Findings>>
  readonly figures: ReadingFigures
}

const reportFormat = 'grapevine-lab-1'

/** What a scenario came to: plain values, ready for JSON. */
export interface LabReport {
  readonly format: typeof reportFormat
  readonly scenario: string
  readonly about: string
  readonly via: BackEndName
  readonly version: string
  readonly startedAt: string
  readonly peers: readonly string[]
  readonly recordsPerSecond: number
  readonly steps: readonly {
    readonly atMs: number
    readonly text: string
    readonly type: 'cut' | 'link' | 'heal' | 'join'
  }[]
  readonly endMs: number
  readonly apart: readonly ApartReport[]
  readonly heals: readonly { readonly atMs: number; readonly convergedAfterMs?: number }[]
  readonly settledAfterMs?: number
  readonly records: {
    readonly accepted: number
    readonly refused: number
    /** Neither accepted nor refused, as far as the client knows. */
    readonly unanswered: number
    readonly lost: number
    readonly duplicated: number
    readonly reordered: number
    /** Over all readings: one live at each peer, and one of everything in the end. */
    readonly read: number
    readonly readings: number
  }
  /** What each peer says that its heals have brought. */
  readonly merged: readonly MergedReport[]
  /** Everything that can be held against the run, by name. */
  readonly faults: Readonly<Record<string, { readonly count: number; readonly examples: readonly string[] }>>
  readonly beliefs: readonly Belief[]
  /** What was expected and did not come. */
  readonly failed: readonly string[]
}

export interface ApartReport extends Omit<Apart, 'sides'> {
  readonly sides: readonly {
    readonly peers: readonly string[]
    readonly accepted: number
    readonly refused: number
    readonly unanswered: number
  }[]
  /** From the cut until the first of a side suspected somebody of another one. */
  readonly firstNoticedAfterMs?: number
  /** Until nobody believed any more that somebody of another side is alive. */
  readonly noticedAfterMs?: number
  /** Until everybody believed everybody of other sides dead. */
  readonly deadAfterMs?: number
}

interface MergedReport {
  readonly at: string
  readonly with: readonly string[]
  readonly state: HealView['state']
  /** Records of theirs that have come to the disk of this peer since, and records of others that they have taken. */
  readonly received: number
  readonly taken: number
  readonly duplicates: number
  readonly mergedInMs?: number
}

/** Of what a file holds; undefined if it is no report, or one of another version. */
export function reportIn(text: string): LabReport | undefined {
  try {
    const report = JSON.parse(text) as Partial<LabReport> | null
    const lists = [
      report?.peers,
      report?.steps,
      report?.apart,
      report?.heals,
      report?.merged,
      report?.beliefs,
      report?.failed,
    ]
    const isWhole = lists.every((list) => Array.isArray(list)) && typeof report?.records === 'object'
    return report?.format === reportFormat && isWhole ? (report as LabReport) : undefined
  } catch {
    return undefined
  }
}

export function reportOf(observed: Observed): LabReport {
  const { scenario, doneAtMs, endMs, publishes, beliefs, convergedAfterMs, faults, figures } = observed
  const apart = timesApart(scenario, doneAtMs, endMs).map((one) => apartReport(one, observed))
  const steps = scenario.steps.map(({ text, actions }, i) => ({
    atMs: doneAtMs[i] ?? endMs,
    text,
    type: actions[0]?.type ?? ('heal' as const),
  }))
  const heals = steps
    .filter(({ type }) => type === 'heal')
    .map(({ atMs }, i) => ({ atMs, ...defined({ convergedAfterMs: convergedAfterMs[i] }) }))
  const counted = (name: string): number => faults[name]?.count ?? 0
  const report: Omit<LabReport, 'failed'> = {
    format: reportFormat,
    scenario: scenario.name,
    about: scenario.about,
    via: observed.via,
    version: observed.version,
    startedAt: observed.startedAt,
    peers: [...scenario.peers, ...scenario.joining],
    recordsPerSecond: scenario.recordsPerSecond,
    steps,
    endMs,
    apart,
    heals,
    ...defined({ settledAfterMs: observed.settledAfterMs }),
    records: {
      ...outcomesOf(publishes),
      lost: counted('lost'),
      duplicated: counted('unexplainedDuplicates') + counted('repeats'),
      reordered: counted('orderViolations'),
      read: figures.recordsRead,
      readings: figures.readings,
    },
    merged: observed.heals.map(({ at, heal }) => ({
      at,
      with: heal.theirs.map(({ name }) => name),
      state: heal.state,
      received: heal.received.records,
      taken: heal.taken.records,
      duplicates: heal.duplicates,
      ...defined({ mergedInMs: heal.mergedInMs }),
    })),
    faults: Object.fromEntries(Object.entries(faults).map(([name, found]) => [name, found.toJSON()])),
    beliefs,
  }
  return { ...report, failed: failedIn(report, scenario.expect, observed.missedEvents) }
}

function apartReport({ fromMs, toMs, sides }: Apart, { publishes, startMs, beliefs }: Observed): ApartReport {
  const during = publishes.filter(({ invokedAtMs }) => {
    const atMs = invokedAtMs - startMs
    return atMs >= fromMs && atMs < toMs
  })
  const sideOf = (peer: string): number => sides.findIndex((side) => side.includes(peer))
  const across = beliefs.filter(({ observer, subject }) => {
    const [one, other] = [sideOf(observer), sideOf(subject)]
    return one !== -1 && other !== -1 && one !== other
  })
  const notAlive = across.map((belief) => firstIn(belief, ['suspect', 'dead', 'left'], fromMs, toMs))
  const dead = across.map((belief) => firstIn(belief, ['dead', 'left'], fromMs, toMs))
  const noticed = notAlive.filter((atMs) => atMs !== undefined)
  return {
    fromMs,
    toMs,
    sides: sides.map((peers) => ({ peers, ...outcomesOf(during.filter(({ at }) => peers.includes(at))) })),
    ...defined({
      firstNoticedAfterMs: noticed.length === 0 ? undefined : Math.min(...noticed) - fromMs,
      noticedAfterMs: lastOf(notAlive, fromMs),
      deadAfterMs: lastOf(dead, fromMs),
    }),
  }
}

/** When it came to be one of these states, within [from, to); from, if it was already. */
function firstIn({ changes }: Belief, states: readonly string[], fromMs: number, toMs: number): number | undefined {
  const before = changes.findLast(({ atMs }) => atMs <= fromMs)
  if (before !== undefined && states.includes(before.state)) return fromMs
  return changes.find(({ atMs, state }) => atMs > fromMs && atMs < toMs && states.includes(state))?.atMs
}

/** Undefined unless all have come to it. */
const lastOf = (times: readonly (number | undefined)[], fromMs: number): number | undefined =>
  times.length > 0 && times.every((atMs) => atMs !== undefined) ? Math.max(...times) - fromMs : undefined

function outcomesOf(publishes: readonly Publish[]): { accepted: number; refused: number; unanswered: number } {
  const sum = (type: string): number =>
    publishes.reduce((total, { outcome, count }) => total + (outcome.type === type ? count : 0), 0)
  return { accepted: sum('ok'), refused: sum('fail'), unanswered: sum('info') }
}

function failedIn(
  { apart, heals, records, faults, settledAfterMs }: Omit<LabReport, 'failed'>,
  expect: Expectations,
  missedEvents: number,
): string[] {
  const failed: string[] = []
  if (records.refused > expect.refused)
    failed.push(`${records.refused} records were refused, not at most ${expect.refused}`)
  const { noticedMs, convergedMs } = expect
  if (noticedMs !== undefined) {
    for (const { fromMs, noticedAfterMs } of apart) {
      if (noticedAfterMs !== undefined && noticedAfterMs <= noticedMs) continue
      failed.push(`the cut at ${secondsText(fromMs)} was not noticed by all within ${secondsText(noticedMs)}`)
    }
  }
  const last = heals.at(-1)
  if (last !== undefined && (last.convergedAfterMs ?? Infinity) > convergedMs)
    failed.push(`not all had all within ${secondsText(convergedMs)} after the last heal`)
  if (settledAfterMs === undefined) failed.push('in the end not all had all, with the same bytes, and saw each other')
  for (const [name, { count, examples }] of Object.entries(faults))
    if (count > 0) failed.push(`${wordsOf(name)}: ${count}, such as ${examples[0]}`)
  if (missedEvents > 0) failed.push(`${missedEvents} events of peers were gone before they were asked for`)
  return failed
}
