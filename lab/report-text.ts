import type { ApartReport, LabReport } from './report.ts'
import { secondsText } from './words.ts'

const number = (value: number): string => value.toLocaleString('en')
const orNot = (ms: number | undefined): string => (ms === undefined ? 'not before it was over' : secondsText(ms))

/** The report for people. */
export function reportText(report: LabReport): string {
  const { scenario, about, via, peers, recordsPerSecond, steps, endMs, apart, heals, settledAfterMs, records } = report
  return [
    `${scenario} via ${via}: ${about}`,
    `${peers.length} peers, ${recordsPerSecond} records/s at each for ${secondsText(endMs)}; version ${report.version}, ${report.startedAt}`,
    '',
    ...steps.map(({ atMs, text }) => `  ${secondsText(atMs).padStart(8)}  ${text}`),
    '',
    ...apart.flatMap(apartText),
    ...heals.map(
      ({ atMs, convergedAfterMs }) =>
        `healed at ${secondsText(atMs)}: all had what was accepted before ${
          convergedAfterMs === undefined ? 'NEVER' : `${secondsText(convergedAfterMs)} later`
        }`,
    ),
    ...mergedText(report),
    '',
    `accepted ${number(records.accepted)}, refused ${number(records.refused)}, unanswered ${number(records.unanswered)}; ` +
      `lost ${records.lost}, duplicated ${records.duplicated}, reordered ${records.reordered}`,
    `read ${number(records.read)} in ${records.readings} readings; all see each other with the same bytes ` +
      (settledAfterMs === undefined ? 'NEVER' : `${secondsText(settledAfterMs)} after the end of the load`),
    ...(report.failed.length === 0
      ? ['as expected']
      : ['NOT AS EXPECTED:', ...report.failed.map((what) => `  ${what.replaceAll('\n', ' ')}`)]),
    '',
  ].join('\n')
}

function apartText({ fromMs, toMs, sides, ...after }: ApartReport): string[] {
  return [
    `apart from ${secondsText(fromMs)} to ${secondsText(toMs)}; first noticed after ${orNot(after.firstNoticedAfterMs)}, by all after ` +
      `${orNot(after.noticedAfterMs)}, all dead to each other after ${orNot(after.deadAfterMs)}`,
    ...sides.map(
      ({ peers, accepted, refused, unanswered }) =>
        `  ${peers.join(',')}: accepted ${number(accepted)}, refused ${number(refused)}, unanswered ${number(unanswered)}`,
    ),
  ]
}

const mergedText = ({ merged }: LabReport): string[] =>
  merged.map(
    ({ at, with: others, state, received, taken, duplicates, mergedInMs }) =>
      `  ${at} ${state} with ${others.join(',')}: received ${number(received)}, they took ${number(taken)}` +
      `${duplicates > 0 ? `, ${duplicates} of them twice` : ''}${mergedInMs === undefined ? '' : `, in ${secondsText(mergedInMs)}`}`,
  )

/** A row of a table of runs, as in docs/lab.md. */
export function reportRow(report: LabReport): string {
  const { scenario, via, apart, heals, records } = report
  const first = apart[0]
  const cell = (ms: number | undefined): string => (ms === undefined ? '–' : secondsText(ms))
  const sides = (first?.sides ?? []).map(({ peers, accepted }) => `${peers.join(',')} ${number(accepted)}`).join(' / ')
  const merged = report.merged.reduce((sum, { received }) => sum + received, 0)
  const cells = [
    scenario,
    via,
    sides || '–',
    records.refused + records.unanswered,
    cell(first?.firstNoticedAfterMs),
    cell(first?.noticedAfterMs),
    cell(heals.at(-1)?.convergedAfterMs),
    number(merged),
    records.lost,
    records.duplicated,
    records.reordered,
    report.failed.length === 0 ? 'as expected' : report.failed[0],
  ]
  return `| ${cells.join(' | ')} |`
}

export const reportRowTitles = [
  '| scenario | via | accepted per side of the first cut | refused | noticed first | by all | converged | merged | lost | duplicated | reordered | |',
  '|---|---|---|---|---|---|---|---|---|---|---|---|',
].join('\n')
