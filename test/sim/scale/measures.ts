import type { Millis } from '#protocol/machine'
import { randomIndex } from '#protocol/random'
import { ScaleMesh } from './mesh.ts'
import type { ScaleOptions } from './mesh.ts'
import { quantile, sumOf } from './samples.ts'

export interface CrashTimes {
  readonly suspectedMs: readonly Millis[]
  /** Infinity: not within two minutes. */
  readonly deadEverywhereMs: readonly Millis[]
}

const patienceMs: Millis = 120_000

/** One member after the other ends: when does anybody suspect it, and when do all others hold it for dead? */
export function crashTimes(options: ScaleOptions, how: 'kill' | 'cut', victims: number): CrashTimes {
  const mesh = new ScaleMesh(options)
  const [suspectedMs, deadEverywhereMs]: [Millis[], Millis[]] = [[], []]
  mesh.calendar.run(5_000)
  for (let n = 0; n < victims; n++) {
    mesh.calendar.run(mesh.random.next() * 5_000)
    const victim = someone(mesh)
    const [startMs, left] = [mesh.nowMs, new Set(mesh.up)]
    left.delete(victim)
    let firstMs: Millis | undefined
    mesh.onTold = (at, told) => {
      if (told.type !== 'memberChanged' || mesh.indexOf(told.peer) !== victim) return
      if (told.to === 'suspect') firstMs ??= mesh.nowMs - startMs
      if (told.to === 'dead') left.delete(at)
      if (told.to === 'alive') left.add(at)
    }
    if (how === 'kill') mesh.kill(victim)
    else mesh.cut(victim)
    mesh.calendar.run(patienceMs, () => left.size === 0)
    suspectedMs.push(firstMs ?? Number.POSITIVE_INFINITY)
    deadEverywhereMs.push(left.size === 0 ? mesh.nowMs - startMs : Number.POSITIVE_INFINITY)
  }
  return { suspectedMs, deadEverywhereMs }
}

export interface NewsTimes {
  readonly most99Ms: readonly Millis[]
  readonly allMs: readonly Millis[]
}

/** One after the other, somebody decides that a member shall go: when have 99 % heard of it, and when has everybody? */
export function newsTimes(options: ScaleOptions, count: number): NewsTimes {
  const mesh = new ScaleMesh(options)
  const [most99Ms, allMs]: [Millis[], Millis[]] = [[], []]
  mesh.calendar.run(5_000)
  for (let n = 0; n < count; n++) {
    mesh.calendar.run(3_000 + mesh.random.next() * 1_000)
    const [teller, subject] = [someone(mesh), mesh.peers[n % mesh.peers.length]]
    if (subject === undefined) continue
    const [startMs, heard] = [mesh.nowMs, new Set<number>()]
    let mostMs: Millis | undefined
    mesh.onTold = (at, told) => {
      if (told.type !== 'statusChanged' || told.peer !== subject) return
      heard.add(at)
      if (heard.size >= 0.99 * mesh.peers.length) mostMs ??= mesh.nowMs - startMs
    }
    mesh.tell(teller, { type: 'registryEdited', ref: n, edit: { type: 'decommission', peer: subject } })
    mesh.calendar.run(patienceMs, () => heard.size === mesh.peers.length)
    most99Ms.push(mostMs ?? Number.POSITIVE_INFINITY)
    allMs.push(heard.size === mesh.peers.length ? mesh.nowMs - startMs : Number.POSITIVE_INFINITY)
  }
  return { most99Ms, allMs }
}

export interface Quiet {
  readonly hours: number
  /** A member was called dead while it ran: once for each incarnation, however many believed it. */
  readonly falseDeaths: number
  /** How many believed so, over all members. */
  readonly falseDeathBeliefs: number
  readonly suspicions: number
  readonly kilobitsPerSecond: number
  readonly messagesPerSecond: number
  readonly dialsPerSecond: number
  /** In kbit/s: the busiest second of the busiest member. */
  readonly peak: number
}

/** A quarter of the members that stalls again and again. */
export const stalls = { share: 0.25, forMsMin: 500, forMsMax: 5_000, pauseMsMin: 500, pauseMsMax: 5_000 }

/** Nobody ends, for so long; maybe some stall. */
export function quietTime(options: ScaleOptions, forMs: Millis, { stalling = false } = {}): Quiet {
  const mesh = new ScaleMesh(options)
  const [dead, suspected] = [new Set<string>(), new Set<string>()]
  let falseDeathBeliefs = 0
  if (stalling) for (let n = 0; n < stalls.share * options.members; n++) stallOnAndOn(mesh, n)
  mesh.calendar.run(10_000)
  mesh.traffic.reset()
  mesh.onTold = (_, told) => {
    if (told.type !== 'memberChanged') return
    const what = `${told.peer} ${told.incarnation}`
    if (told.to === 'suspect') suspected.add(what)
    if (told.to !== 'dead') return
    falseDeathBeliefs++
    dead.add(what)
  }
  mesh.calendar.run(forMs)
  const perMemberSecond = 1_000 / (forMs * options.members)
  return {
    hours: forMs / 3_600_000,
    falseDeaths: dead.size,
    falseDeathBeliefs,
    suspicions: suspected.size,
    kilobitsPerSecond: mesh.traffic.bytes * 0.008 * perMemberSecond,
    messagesPerSecond: mesh.traffic.messages * perMemberSecond,
    dialsPerSecond: mesh.traffic.dials * perMemberSecond,
    peak: 0.008 * quantile(mesh.traffic.peaks(), 1),
  }
}

function stallOnAndOn(mesh: ScaleMesh, index: number): void {
  const between = (min: Millis, max: Millis): Millis => min + mesh.random.next() * (max - min)
  mesh.calendar.after(between(0, stalls.pauseMsMax), () => {
    const forMs = between(stalls.forMsMin, stalls.forMsMax)
    mesh.stall(index, forMs)
    mesh.calendar.after(forMs + stalls.pauseMsMin, () => stallOnAndOn(mesh, index))
  })
}

export interface Storm {
  /** Of each member, in kbit/s: its busiest second. */
  readonly peaks: readonly number[]
  readonly deadEverywhereMs: Millis
}

/** So many at once are gone, and nobody is told: news about each of them, and of many suspicions, all at the same time. */
export function storm(options: ScaleOptions, share: number): Storm {
  const mesh = new ScaleMesh(options)
  mesh.calendar.run(5_000)
  const gone = Math.round(share * options.members)
  for (let n = 0; n < gone; n++) mesh.cut(n)
  mesh.traffic.reset()
  const startMs = mesh.nowMs
  let left = gone * (options.members - gone)
  mesh.onTold = (_, told) => {
    if (told.type !== 'memberChanged' || mesh.isUp(mesh.indexOf(told.peer))) return
    if (told.to === 'dead') left--
    else if (told.from === 'dead') left++
  }
  mesh.calendar.run(2 * patienceMs, () => left === 0)
  const peaks = mesh.traffic.peaks().slice(gone)
  return { peaks: peaks.map((bytes) => 0.008 * bytes), deadEverywhereMs: left === 0 ? mesh.nowMs - startMs : Infinity }
}

function someone(mesh: ScaleMesh): number {
  const { up } = mesh
  return up[randomIndex(mesh.random, up.length)] ?? 0
}

export const perHour = (runs: readonly Quiet[], count: (run: Quiet) => number): number =>
  sumOf(runs.map(count)) / sumOf(runs.map(({ hours }) => hours))
