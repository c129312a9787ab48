import type { Millis } from '#protocol/machine'
import { membershipProfiles } from '#protocol/membership/config'
import type { MembershipConfig } from '#protocol/membership/config'
import type { ScaleOptions } from './mesh.ts'
import { crashTimes, newsTimes, perHour, quietTime, storm } from './measures.ts'
import type { Quiet } from './measures.ts'
import { quantile } from './samples.ts'

export interface Effort {
  readonly members: number
  /** Crashes, or pieces of news, over all worlds of a row. */
  readonly trials: number
  readonly quietMs: Millis
  /** Of the first world of each row; the next ones follow. */
  readonly seed: number
  readonly path: Pick<ScaleOptions, 'lostPackets' | 'links'>
}

interface Row {
  readonly name: string
  readonly aim?: string
  readonly cell: (effort: Effort) => string
}

const { lan } = membershipProfiles

/** SWIM without Lifeguard. The accused is still told first, and a refused dial and a nack still save time. */
export const plainSwim: MembershipConfig = {
  ...lan,
  awarenessMax: 1,
  suspicionMaxMult: 1,
  timerLateMs: Number.POSITIVE_INFINITY,
  lastWordMs: 0,
}

/** In one world a twentieth of the members may end, so that it stays about as large. */
function inWorlds<T>({ members, trials, seed }: Effort, run: (seed: number, count: number) => T): readonly T[] {
  const perWorld = Math.max(1, Math.floor(members / 20))
  const worlds = Math.ceil(trials / perWorld)
  return Array.from({ length: worlds }, (_, n) => run(seed + n, Math.min(perWorld, trials - n * perWorld)))
}

const optionsOf = ({ members, path }: Effort, seed: number, more: Partial<ScaleOptions> = {}): ScaleOptions => {
  return { members, seed, config: lan, loss: 0, ...path, ...more }
}

const seconds = (ms: Millis): string => (Number.isFinite(ms) ? (ms / 1_000).toFixed(2) : '> 120')
const halfAndMost = (ms: readonly Millis[]): string => `${seconds(quantile(ms, 0.5))} / ${seconds(quantile(ms, 0.99))}`

function crashRow(how: 'kill' | 'cut', effort: Effort): string {
  const runs = inWorlds(effort, (seed, count) => crashTimes(optionsOf(effort, seed), how, count))
  const suspected = runs.flatMap(({ suspectedMs }) => suspectedMs)
  return `${halfAndMost(suspected)}, ${halfAndMost(runs.flatMap(({ deadEverywhereMs }) => deadEverywhereMs))}`
}

function newsRow(loss: number, effort: Effort): string {
  const runs = inWorlds(effort, (seed, count) => newsTimes(optionsOf(effort, seed, { loss }), count))
  const most = halfAndMost(runs.flatMap(({ most99Ms }) => most99Ms))
  return `${most}, ${halfAndMost(runs.flatMap(({ allMs }) => allMs))}`
}

const quiet = (effort: Effort, more: Partial<ScaleOptions>, options = {}): Quiet =>
  quietTime(optionsOf(effort, effort.seed, more), effort.quietMs, options)

const deathsText = (run: Quiet): string => {
  const count = `${run.falseDeaths} in ${(60 * run.hours).toFixed(1)} min`
  return `${count} (${perHour([run], ({ suspicions }) => suspicions).toFixed(0)} suspicions/h)`
}

const trafficText = (run: Quiet): string =>
  `${run.kilobitsPerSecond.toFixed(2)} kbit/s, ${run.messagesPerSecond.toFixed(1)} msg/s, ${run.dialsPerSecond.toFixed(2)} dials/s; ${run.peak.toFixed(0)}`

/** What `npm run scale` shows: one row each, one cell for each number of members. */
export const rows: Readonly<Record<string, readonly Row[]>> = {
  crashes: [
    { name: 'kill -9: first suspicion, dead everywhere; p50 / p99, s', cell: (effort) => crashRow('kill', effort) },
    { name: 'power cut: the same', aim: '≤ 20 s p99', cell: (effort) => crashRow('cut', effort) },
  ],
  news: [0, 0.1, 0.3].map((loss): Row => {
    const name = `news at 99 %, 100 % of members, ${100 * loss} % loss; p50 / p99, s`
    return { name, ...(loss === 0.1 && { aim: '≤ 1.6 s p99' }), cell: (effort) => newsRow(loss, effort) }
  }),
  deaths: [0, 0.1, 0.3].map((loss): Row => {
    const cell = (effort: Effort): string => {
      const run = quiet(effort, { loss })
      return `${deathsText(run)}; ${trafficText(run)}`
    }
    const name = `quiet, ${100 * loss} % loss: false deaths; sent per member, and in the busiest second of any, kbit/s`
    return { name, aim: loss === 0.1 ? '≤ 1/h' : loss === 0 ? '≤ 20 kbit/s' : '', cell }
  }),
  stalls: [
    { name: '25 % stall 0.5–5 s: false deaths', cell: (effort) => deathsText(quiet(effort, {}, { stalling: true })) },
    {
      name: 'the same, plain SWIM',
      aim: '≥ 50 × as many',
      cell: (effort) => deathsText(quiet(effort, { config: plainSwim }, { stalling: true })),
    },
  ],
  storm: [
    {
      name: '10 % cut off power at once: busiest second of a member, p99 and most, kbit/s; all dead everywhere, s',
      aim: '≤ 168 kbit/s',
      cell: (effort) => {
        const { peaks, deadEverywhereMs } = storm(optionsOf(effort, effort.seed), 0.1)
        return `${quantile(peaks, 0.99).toFixed(0)}, ${quantile(peaks, 1).toFixed(0)}; ${seconds(deadEverywhereMs)}`
      },
    },
  ],
}
