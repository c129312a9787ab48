import type { Brand, PeerId } from '#protocol/ids'
import { parseEpoch, parsePeerId } from '#protocol/ids'

/**
 * One run of a peer, `<peer>.<epoch>`. Edits are counted per run: a peer whose disk went back starts a new run, so no
 * number is ever used twice.
 */
export type Run = Brand<string, 'Run'>
/** One edit of one topic: `<run>.<n>`, the n-th of that run, from 1. */
export type Dot = Brand<string, 'Dot'>

/** All edits that somebody has seen: of each run the first so many. */
export type Seen = ReadonlyMap<Run, number>

/** What edits have set and no later edit has replaced: several values only if they were set without seeing each other. */
export type Register<T> = ReadonlyMap<Dot, T>

/** A register with the edits that its owner has seen, its own included. */
export interface SeenRegister<T> {
  readonly seen: Seen
  readonly values: Register<T>
}

export const runOf = (peer: PeerId, epoch: string): Run => `${peer}.${epoch}` as Run

export const peerOfRun = (run: Run | Dot): PeerId => run.slice(0, run.indexOf('.')) as PeerId

export const dotOf = (run: Run, n: number): Dot => `${run}.${n}` as Dot

export function parseRun(text: string): Run | undefined {
  const [peer, epoch, ...rest] = text.split('.')
  const isRun = parsePeerId(peer) !== undefined && parseEpoch(epoch) !== undefined && rest.length === 0
  return isRun ? (text as Run) : undefined
}

export function parseDot(text: string): Dot | undefined {
  const { run, n } = partsOf(text)
  return parseRun(run) !== undefined && Number.isSafeInteger(n) && n > 0 && `${run}.${n}` === text
    ? (text as Dot)
    : undefined
}

export function hasSeen(seen: Seen, dot: Dot): boolean {
  const { run, n } = partsOf(dot)
  return n <= (seen.get(run as Run) ?? 0)
}

export const joinSeen = (a: Seen, b: Seen): Seen => joinMaps(a, b, Math.max)

/**
 * What both together know: a value stays if the other side has it, too, or has not seen its edit. A side that has seen it
 * and does not have it has replaced it. Of one edit there is one value; `joinValues` decides if somebody lies.
 */
export function joinRegisters<T>(a: SeenRegister<T>, b: SeenRegister<T>, joinValues: (a: T, b: T) => T): Register<T> {
  const joined = new Map<Dot, T>()
  for (const [dot, value] of a.values) {
    const other = b.values.get(dot)
    if (other !== undefined) joined.set(dot, joinValues(value, other))
    else if (!hasSeen(b.seen, dot)) joined.set(dot, value)
  }
  for (const [dot, value] of b.values) if (!a.values.has(dot) && !hasSeen(a.seen, dot)) joined.set(dot, value)
  return joined
}

/** Every key of both; `joinValues` where both have it. */
export function joinMaps<K, T>(a: ReadonlyMap<K, T>, b: ReadonlyMap<K, T>, joinValues: (a: T, b: T) => T): Map<K, T> {
  const joined = new Map(a)
  for (const [key, value] of b) {
    const other = a.get(key)
    joined.set(key, other === undefined ? value : joinValues(other, value))
  }
  return joined
}

export const sameKeys = <K>(a: ReadonlyMap<K, unknown>, b: ReadonlyMap<K, unknown>): boolean =>
  a.size === b.size && [...a.keys()].every((key) => b.has(key))

export function sameMaps<K, T>(
  a: ReadonlyMap<K, T>,
  b: ReadonlyMap<K, T>,
  same: (a: T, b: T) => boolean = (one, other) => one === other,
): boolean {
  if (a.size !== b.size) return false
  for (const [key, value] of a) {
    const other = b.get(key)
    if (other === undefined || !same(value, other)) return false
  }
  return true
}

function partsOf(dot: string): { readonly run: string; readonly n: number } {
  const at = dot.lastIndexOf('.')
  return { run: dot.slice(0, at), n: Number(dot.slice(at + 1)) }
}
