import type { PeerId } from '#protocol/ids'
import type { FeedKey } from '#protocol/log/feed'
import type { Reading } from '../history.ts'
import type { SimDisk } from '../sim-disk.ts'
import type { Anomaly, Disks } from './anomaly.ts'

/** What a keeper has had for so long, it has told to whoever follows it. */
const tellingMsMax = 3_000

type Heads = ReadonlyMap<PeerId, ReadonlyMap<FeedKey, number>>

/**
 * P5: who is told to have caught up has read all that one of the topic's keepers had a moment before, or was told that it
 * waits for the rest. Holds where nothing is cut off or paused: there, peers know of each other what was told.
 */
export class CaughtUpChecker {
  readonly #disks: Disks
  readonly #past: { readonly atMs: number; readonly heads: Heads }[] = []

  constructor(disks: Disks) {
    this.#disks = disks
  }

  /** Now and then. */
  look(nowMs: number): void {
    this.#past.push({ atMs: nowMs, heads: new Map([...this.#disks].map(([peer, disk]) => [peer, headsOf(disk)])) })
    while ((this.#past[1]?.atMs ?? nowMs) <= nowMs - tellingMsMax) this.#past.shift()
  }

  /** The reader was told so at that peer, which takes these for the keepers. */
  check(reading: Reading, at: PeerId, keepers: Iterable<PeerId>, nowMs: number): readonly Anomaly[] {
    const [then] = this.#past
    if (reading.from === 'latest' || then === undefined || then.atMs > nowMs - tellingMsMax) return []
    const read = positionsOf(reading)
    const missing = [...keepers].map((keeper) => {
      // What it had then its disk may have lost since.
      const [before, now] = [then.heads.get(keeper) ?? [], this.#disks.get(keeper)]
      const heads = [...before].map(([key, end]) => [key, Math.min(end, now?.nextOffset(key) ?? 0)] as const)
      return [...missedOf(reading, read, heads, this.#disks)]
    })
    if (missing.length === 0 || missing.some((feeds) => feeds.length === 0)) return []
    const what = missing.map((feeds) => feeds[0]).join(', ')
    const detail = `reader ${reading.name} is told at ${at} to have caught up, and has not read ${what}`
    return [{ checker: 'caught-up', detail }]
  }
}

const headsOf = ({ feeds }: SimDisk): ReadonlyMap<FeedKey, number> =>
  new Map([...feeds].map(([key, { state }]) => [key, state.head.nextOffset]))

function positionsOf({ records, covered }: Reading): ReadonlyMap<FeedKey, number> {
  const positions = new Map(covered?.positions)
  for (const { place } of records) positions.set(place.feed, place.offset + 1)
  return positions
}

function* missedOf(
  { topic, gaps }: Reading,
  read: ReadonlyMap<FeedKey, number>,
  heads: readonly (readonly [FeedKey, number])[],
  disks: Disks,
): Generator<string> {
  for (const [key, nextOffset] of heads) {
    const opening = [...disks.values()].flatMap(({ feeds }) => feeds.get(key)?.opening ?? [])[0]
    if (opening?.topic !== topic) continue
    const floors = [...disks.values()].map(({ feeds }) => feeds.get(key)?.state.floor.nextOffset ?? 0)
    const position = Math.max(read.get(key) ?? opening.predecessor?.nextOffset ?? 0, ...floors)
    const name = `${opening.writer}.${opening.epoch}`
    const isTold = gaps.some(({ feed, from, to }) => feed === name && from <= position && position < to)
    if (position < nextOffset && !isTold) yield `${name} from ${position} to ${nextOffset}`
  }
}
