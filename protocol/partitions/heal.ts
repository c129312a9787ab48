import type { PeerId } from '#protocol/ids'
import type { Millis } from '#protocol/machine'
import type { HealReport, HealState } from './inputs.ts'
import type { Merge } from './merge.ts'

type Origin = Pick<HealReport, 'sinceMs' | 'sinceStart' | 'reason'>

export interface HealOptions {
  readonly number: number
  readonly merge: Merge
  readonly ours: readonly PeerId[]
  /** What it ends. */
  readonly cut: Origin
  readonly nowMs: Millis
}

/** The end of a cut, from the moment at which the first of the other side is heard again, and what it brings both. */
export class Heal {
  readonly #number: number
  readonly #ours: readonly PeerId[]
  readonly #cut: Origin
  #merge: Merge | undefined
  #theirs: readonly PeerId[] = []
  #healedMs: Millis
  #state: HealState = 'merging'
  #mergedMs: Millis | undefined
  /** Once nothing of it can change: the positions are let go of. */
  #last: HealReport | undefined

  constructor({ number, merge, ours, cut, nowMs }: HealOptions) {
    this.#number = number
    this.#merge = merge
    this.#ours = ours
    const { sinceMs, sinceStart, reason } = cut
    this.#cut = { sinceMs, sinceStart, reason }
    this.#healedMs = nowMs
  }

  get theirs(): readonly PeerId[] {
    return this.#theirs
  }

  get apartMs(): Millis {
    return this.#healedMs - this.#cut.sinceMs
  }

  /** Undefined when it is over. */
  get merge(): Merge | undefined {
    return this.#merge
  }

  /** So many are back. */
  backAre(theirs: readonly PeerId[], nowMs: Millis): void {
    this.#theirs = theirs
    this.#healedMs = nowMs
    this.#state = 'merging'
    this.#mergedMs = undefined
  }

  /**
   * True if the two sides have just become one. `settled`: nobody who has no link by now is waited for, and what is merged
   * stays so.
   */
  advance(nowMs: Millis, { settled }: { readonly settled: boolean }): boolean {
    const merge = this.#merge
    if (merge === undefined) return false
    const isHeard = (peer: PeerId): boolean => merge.isAccounted(peer) || (settled && !merge.hasMet(peer))
    const isNew = this.#state === 'merging' && merge.left === 0 && this.#theirs.every(isHeard)
    if (isNew) {
      this.#state = 'merged'
      this.#mergedMs = nowMs
    }
    if (settled && this.#state === 'merged') this.#end(merge)
    return isNew
  }

  /** The other side was lost again, or is gone for good. */
  interrupt(): void {
    if (this.#merge === undefined) return
    if (this.#state === 'merging') this.#state = 'interrupted'
    this.#end(this.#merge)
  }

  report(): HealReport {
    return this.#last ?? this.#reportOf(this.#merge as Merge)
  }

  #end(merge: Merge): void {
    this.#last = this.#reportOf(merge)
    this.#merge = undefined
  }

  #reportOf(merge: Merge): HealReport {
    const { received, duplicates, isPartial } = merge
    return {
      number: this.#number,
      state: this.#state,
      ...this.#cut,
      healedMs: this.#healedMs,
      mergedMs: this.#mergedMs,
      ours: this.#ours,
      theirs: this.#theirs.map((peer) => ({ peer, taken: merge.takenBy(peer) })),
      received,
      duplicates,
      isPartial,
    }
  }
}
