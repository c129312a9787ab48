import { assert } from '#protocol/assert'

/**
 * A hybrid-clock time (HLC; Kulkarni et al., "Logical Physical Clocks", OPODIS 2014): wall milliseconds since 1970
 * (48 bits) and a counter (16 bits) that orders what happened within them.
 */
export interface Hlc {
  readonly ms: number
  readonly counter: number
}

export const hlcZero: Hlc = { ms: 0, counter: 0 }
export const hlcMsMax = 2 ** 48 - 1
const counterMax = 0xffff

/** Negative when `a` is earlier than `b`, 0 when equal. */
export const compareHlc = (a: Hlc, b: Hlc): number => a.ms - b.ms || a.counter - b.counter

/** A remote clock further ahead of our wall clock than this is not merged, lest one wrong clock drags all others along. */
export const clockAheadMsMax = 500

/**
 * How far ahead of its last time a clock asks to have its ceiling persisted. Below `clockAheadMsMax`, so that a peer
 * that restarts at once, and so goes on from its ceiling, does not look like a wrong clock to the others.
 */
export const ceilingAheadMs = 400

/**
 * The clock of one peer. Each time it gives is above every time it gave or merged, across restarts too: it starts above
 * `floorMs`, the greatest ceiling that an earlier run persisted, and says when a new ceiling is due.
 */
export class HybridClock {
  #last: Hlc
  #ceilingMs: number

  constructor(floorMs: number) {
    assert(Number.isInteger(floorMs) && floorMs >= 0, 'a clock floor is in whole milliseconds')
    this.#last = { ms: Math.min(floorMs, hlcMsMax), counter: 0 }
    this.#ceilingMs = floorMs
  }

  /** The last time given or merged. */
  get last(): Hlc {
    return this.#last
  }

  /** A new time, above all earlier ones and not below `wallMs` (milliseconds since 1970). */
  now(wallMs: number): Hlc {
    const wall = Math.min(Math.floor(wallMs), hlcMsMax)
    this.#last = wall > this.#last.ms ? { ms: wall, counter: 0 } : following(this.#last)
    return this.#last
  }

  /** Later times are above `remote`, unless that lies more than 500 ms ahead of `wallMs`: then it is not merged. */
  merge(remote: Hlc, wallMs: number): 'merged' | 'ahead' {
    if (remote.ms > wallMs + clockAheadMsMax) return 'ahead'
    if (compareHlc(remote, this.#last) > 0) this.#last = remote
    return 'merged'
  }

  /**
   * The ceiling to persist together with the next append, or undefined while the persisted one is high enough. It is due
   * when half of the margin is used up, so that under load it is on disk before a time above the old one is given. After
   * an idle gap the first time lies above the old ceiling; the wall clock alone then keeps a crash from going back.
   */
  get ceilingDueMs(): number | undefined {
    if (this.#last.ms + ceilingAheadMs / 2 <= this.#ceilingMs) return undefined
    return Math.min(this.#last.ms + ceilingAheadMs, hlcMsMax)
  }

  /** `ceilingMs` is on disk. */
  ceilingPersisted(ceilingMs: number): void {
    this.#ceilingMs = Math.max(this.#ceilingMs, ceilingMs)
  }
}

function following(last: Hlc): Hlc {
  if (last.counter < counterMax) return { ms: last.ms, counter: last.counter + 1 }
  assert(last.ms < hlcMsMax, 'a 48-bit clock lasts until the year 10889')
  return { ms: last.ms + 1, counter: 0 }
}
