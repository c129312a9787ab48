import { parseDocument } from 'yaml'
import { z } from 'zod'
import { MeshError } from '#protocol/errors'
import { durationOf, namesOf, sidesIn } from './words.ts'

/** One thing that is done to the network or to a peer. `cut`: what these send does not reach those any more. */
export type Action =
  | { readonly type: 'cut'; readonly from: readonly string[]; readonly to: readonly string[] }
  | {
      readonly type: 'link'
      readonly from: string
      readonly to: string
      readonly loss: number
      readonly delayMs: number
    }
  | { readonly type: 'heal' }
  | { readonly type: 'join'; readonly peer: string }

export interface Step {
  /** From the beginning of the load. */
  readonly atMs: number
  /** As it stands in the file: `split oak,elm / ash`. */
  readonly text: string
  readonly actions: readonly Action[]
}

export interface Expectations {
  /** Publishes that were refused: `ack=local` is accepted whatever is cut. */
  readonly refused: number
  /** How long after each cut the last peer may go on believing in somebody it cannot reach; not asked if left out. */
  readonly noticedMs?: number
  /** How long after the last heal everybody may lack something that was accepted before it. */
  readonly convergedMs: number
}

/** What is done when, while every peer is published to and read at. */
export interface Scenario {
  readonly name: string
  readonly about: string
  /** Up from the beginning. */
  readonly peers: readonly string[]
  /** They come by a step. */
  readonly joining: readonly string[]
  /** Records that are published at each peer. */
  readonly recordsPerSecond: number
  /** In the order of their times. */
  readonly steps: readonly Step[]
  /** When the load ends. */
  readonly endMs: number
  readonly expect: Expectations
}

const duration = z.string().transform((text, context) => {
  const ms = durationOf(text)
  if (ms !== undefined) return ms
  context.addIssue(`is a duration, such as 300ms or 2s, not ${text}`)
  return z.NEVER
})
const name = z.string().regex(/^[a-z][a-z0-9-]{0,14}$/, 'a name has 1 to 15 small letters and digits')
const peers = z.string().transform(namesOf).pipe(z.array(name).min(2).max(32))

const step = z.strictObject({
  at: duration,
  split: z.string().optional(),
  cut: z.string().optional(),
  link: z.string().optional(),
  loss: z.number().min(0).max(1).optional(),
  delay: duration.optional(),
  join: name.optional(),
  heal: z.literal('all').optional(),
})

const schema = z.strictObject({
  name: z.string().regex(/^[a-z0-9-]{1,40}$/),
  about: z.string().min(1),
  peers,
  rate: z.int().min(1).max(2_000).default(50),
  steps: z.array(step).min(1).max(200),
  end: duration,
  expect: z
    .strictObject({ refused: z.int().min(0).default(0), noticed: duration.optional(), converged: duration.optional() })
    .default({ refused: 0 }),
})

/**
 * Reads a scenario from YAML.
 *
 * @example
 * name: one-alone
 * about: One peer without the others, until all have noticed.
 * peers: oak,elm,ash
 * steps:
 *   - { at: 2s, split: oak / elm,ash }
 *   - { at: 12s, heal: all }
 * end: 14s
 * expect: { noticed: 8s, converged: 30s }
 *
 * @throws MeshError SCENARIO_INVALID, which says where.
 */
export function parseScenario(text: string): Scenario {
  const document = parseDocument(text)
  const [broken] = document.errors
  if (broken !== undefined) throw invalid(broken.message.split('\n')[0] ?? '')
  const parsed = schema.safeParse(document.toJS())
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw invalid(`${issue?.path.join('.') || 'the file'}: ${issue?.message}`)
  }
  const { data } = parsed
  const steps = data.steps.map((one, i) => stepOf(one, `steps.${i}`)).toSorted((a, b) => a.atMs - b.atMs)
  const joining = steps.flatMap(({ actions }) => actions.flatMap((one) => (one.type === 'join' ? one.peer : [])))
  checkNames(data.peers, joining, steps)
  const late = steps.find(({ atMs }) => atMs > data.end)
  if (late !== undefined) throw invalid(`"${late.text}" comes after the end`)
  const { refused, noticed, converged = 30_000 } = data.expect
  return {
    name: data.name,
    about: data.about,
    peers: data.peers.filter((peer) => !joining.includes(peer)),
    joining,
    recordsPerSecond: data.rate,
    steps,
    endMs: data.end,
    expect: { refused, convergedMs: converged, ...(noticed !== undefined && { noticedMs: noticed }) },
  }
}

function stepOf({ at, loss = 0, delay = 0, ...what }: z.infer<typeof step>, where: string): Step {
  const words = Object.entries(what).filter((entry): entry is [string, string] => entry[1] !== undefined)
  const [first, ...others] = words
  if (first === undefined || others.length > 0) throw invalid(`${where}: one of split, cut, link, join and heal`)
  const [word, text] = first
  if (word !== 'link' && (loss > 0 || delay > 0)) throw invalid(`${where}: loss and delay are for link`)
  const suffered = `${loss > 0 ? ` loss ${loss}` : ''}${delay > 0 ? ` delay ${delay}ms` : ''}`
  return {
    atMs: at,
    text: `${word} ${text}${suffered}`,
    actions: actionsOf(word, text, { loss, delayMs: delay }, where),
  }
}

function actionsOf(
  word: string,
  text: string,
  way: { readonly loss: number; readonly delayMs: number },
  where: string,
): readonly Action[] {
  switch (word) {
    case 'split': {
      const sides = sidesIn(text)
      if (sides.length < 2 || sides.some((side) => side.length === 0))
        throw invalid(`${where}: a split has sides with a slash between: oak / elm,ash`)
      return sides.flatMap((from) =>
        sides.filter((to) => to !== from).map((to) => ({ type: 'cut' as const, from, to })),
      )
    }
    case 'cut': {
      const { from, to } = arrow(text, where, '->')
      return [{ type: 'cut', from, to }]
    }
    case 'link': {
      const isOneWay = !text.includes('<->')
      const { from, to } = arrow(text, where, isOneWay ? '->' : '<->')
      const each = from.flatMap((one) => to.map((other) => ({ type: 'link' as const, from: one, to: other, ...way })))
      return isOneWay ? each : [...each, ...each.map((link) => ({ ...link, from: link.to, to: link.from }))]
    }
    case 'join':
      return [{ type: 'join', peer: text }]
    default:
      return [{ type: 'heal' }]
  }
}

function arrow(text: string, where: string, sign: string): { readonly from: string[]; readonly to: string[] } {
  const [from = [], to = [], ...more] = text.split(sign).map(namesOf)
  if (from.length > 0 && to.length > 0 && more.length === 0) return { from, to }
  throw invalid(`${where}: ${sign === '->' ? 'oak -> elm,ash' : 'oak <-> elm or oak -> elm'}, not ${text}`)
}

/** Each is a peer of the scenario, and nobody is cut off from itself. */
function checkNames(known: readonly string[], joining: readonly string[], steps: readonly Step[]): void {
  if (new Set(known).size < known.length) throw invalid('peers: one stands there twice')
  if (new Set(joining).size < joining.length) throw invalid('steps: somebody joins twice')
  if (known.length - joining.length < 1) throw invalid('peers: one is up before the others join')
  for (const { text, actions } of steps) {
    for (const action of actions) {
      const names =
        action.type === 'join' ? [action.peer] : action.type === 'heal' ? [] : [action.from, action.to].flat()
      const stranger = names.find((one) => !known.includes(one))
      if (stranger !== undefined) throw invalid(`"${text}": ${stranger} is none of the peers`)
      if (new Set(names).size < names.length) throw invalid(`"${text}": a peer cannot be cut off from itself`)
    }
  }
}

const invalid = (detail: string): MeshError => new MeshError('SCENARIO_INVALID', detail)
