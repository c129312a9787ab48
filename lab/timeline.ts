import type { Belief, BeliefState, Change } from './beliefs.ts'
import type { LabReport } from './report.ts'
import { secondsText } from './words.ts'

const width = 1_000
const left = 130
const right = 20
const top = 64
const laneHeight = 12
const barHeight = 8
const groupGap = 14
const lineHeight = 17

// A picture stands in pages of any color: it brings its own background, dark where the reader likes it dark.
const style = `
svg{--paper:#fff;--ink:#1f2328;--dim:#656d76;--alive:#2da44e;--suspect:#d4a72c;--dead:#cf222e;--left:#8c959f;--cut:#cf222e;--heal:#0969da}
@media (prefers-color-scheme:dark){svg{--paper:#0d1117;--ink:#e6edf3;--dim:#8b949e;--alive:#3fb950;--suspect:#d29922;--dead:#f85149;--left:#6e7681;--cut:#f85149;--heal:#58a6ff}}
text{font:12px ui-sans-serif,system-ui,sans-serif;fill:var(--ink)}.dim{fill:var(--dim);font-size:11px}.title{font-size:15px;font-weight:600}.name{font-weight:600}
.paper{fill:var(--paper)}.apart{fill:var(--cut);opacity:.08}.grid{stroke:var(--dim);opacity:.25}
.alive{fill:var(--alive)}.suspect{fill:var(--suspect)}.dead{fill:var(--dead)}.left{fill:var(--left)}
line.cut,line.link{stroke:var(--cut)}line.heal{stroke:var(--heal)}line.join{stroke:var(--dim)}line.step{stroke-width:1.5;stroke-dasharray:4 3}
text.cut,text.link{fill:var(--cut)}text.heal{fill:var(--heal)}`

/**
 * Who saw whom when: a group of lanes per peer, a lane per member that it watched; times apart are shaded, steps marked. An SVG that
 * needs nothing else.
 */
export function timelineSvg(report: LabReport): string {
  const endMs = Math.max(report.endMs + (report.settledAfterMs ?? 0), 1)
  const x = (atMs: number): number => left + (Math.min(Math.max(atMs, 0), endMs) / endMs) * (width - left - right)
  const groups = report.peers.map((observer) => ({
    observer,
    beliefs: report.peers.flatMap((subject) =>
      report.beliefs.filter((belief) => belief.observer === observer && belief.subject === subject),
    ),
  }))
  let y = top
  const lanes: string[] = []
  for (const { observer, beliefs } of groups) {
    lanes.push(text(8, y + barHeight, observer, 'name'))
    for (const belief of beliefs) {
      lanes.push(text(60, y + barHeight, belief.subject, 'dim'), ...barsOf(belief, { y, x, endMs }))
      y += laneHeight
    }
    y += Math.max(groupGap, beliefs.length === 0 ? laneHeight : 0)
  }
  const bottom = y
  const shades = report.apart.map(
    ({ fromMs, toMs, sides }) =>
      `<rect class="apart" x="${n(x(fromMs))}" y="${top - 6}" width="${n(x(toMs) - x(fromMs))}" height="${bottom - top}">` +
      `<title>${escaped(sides.map(({ peers }) => peers.join(',')).join(' / '))}</title></rect>`,
  )
  const marks = report.steps.flatMap(({ atMs, type, text: what }, i) => [
    `<line class="step ${type}" x1="${n(x(atMs))}" x2="${n(x(atMs))}" y1="${top - 12}" y2="${bottom - 6}"><title>${escaped(what)}</title></line>`,
    text(x(atMs) - 3, top - 16 - (i % 2) * 11, String(i + 1), type),
  ])
  const legend = report.steps.map(({ atMs, text: what, type }, i) =>
    text(left, bottom + 42 + i * lineHeight, `${i + 1}  ${secondsText(atMs)}  ${what}`, type),
  )
  const height = bottom + 42 + report.steps.length * lineHeight + lineHeight
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img">`,
    `<title>${escaped(`${report.scenario} via ${report.via}: who saw whom when`)}</title>`,
    `<style>${style}</style>`,
    `<rect class="paper" width="${width}" height="${height}"/>`,
    text(8, 20, `${report.scenario} via ${report.via}`, 'title'),
    ...key(),
    ...axis(endMs, x, bottom),
    ...shades,
    ...lanes,
    ...marks,
    ...legend,
    '</svg>',
    '',
  ].join('\n')
}

interface Lane {
  readonly y: number
  readonly x: (atMs: number) => number
  readonly endMs: number
}

/** A bar for each time that a belief lasted. */
function barsOf({ observer, subject, changes }: Belief, { y, x, endMs }: Lane): string[] {
  return changes.flatMap((change: Change, i) => {
    const untilMs = changes[i + 1]?.atMs ?? endMs
    if (untilMs <= 0 || change.atMs >= endMs) return []
    const from = x(change.atMs)
    const why = change.reason === undefined ? '' : `: ${change.reason}`
    const what = `${observer} sees ${subject} ${change.state} from ${secondsText(Math.max(0, change.atMs))}${why}`
    return `<rect class="${change.state}" x="${n(from)}" y="${y}" width="${n(Math.max(x(untilMs) - from, 1))}" height="${barHeight}"><title>${escaped(what)}</title></rect>`
  })
}

const keyStates: readonly BeliefState[] = ['alive', 'suspect', 'dead', 'left']

const key = (): string[] =>
  keyStates.flatMap((state, i) => [
    `<rect class="${state}" x="${width - 330 + i * 80}" y="12" width="12" height="${barHeight}"/>`,
    text(width - 314 + i * 80, 20, state, 'dim'),
  ])

function axis(endMs: number, x: (atMs: number) => number, bottom: number): string[] {
  const everyMs = [1, 2, 5, 10, 20, 30, 60, 120, 300].map((s) => s * 1_000).find((ms) => endMs / ms <= 14) ?? 600_000
  const ticks = Array.from({ length: Math.floor(endMs / everyMs) + 1 }, (_, i) => i * everyMs)
  return ticks.flatMap((atMs) => [
    `<line class="grid" x1="${n(x(atMs))}" x2="${n(x(atMs))}" y1="${top - 6}" y2="${bottom}"/>`,
    text(x(atMs) - 8, bottom + 14, `${atMs / 1_000} s`, 'dim'),
  ])
}

const n = (value: number): string => value.toFixed(1)
const text = (x: number, y: number, what: string, kind: string): string =>
  `<text class="${kind}" x="${n(x)}" y="${n(y)}">${escaped(what)}</text>`

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
/** What peers are called and say must not become markup; control characters have no place in XML. */
const escaped = (what: string): string =>
  // eslint-disable-next-line no-control-regex
  what.replace(/[\u0000-\u001f\u007f]/g, ' ').replace(/[&<>"]/g, (sign) => entities[sign] ?? '')
