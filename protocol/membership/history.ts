import type { PeerId } from '#protocol/ids'
import type { Millis } from '#protocol/machine'
import type { MemberState } from './messages.ts'

/** A change of state as it was seen here. */
export interface StateChange {
  readonly atMs: Millis
  readonly peer: PeerId
  readonly from: MemberState | 'unknown'
  readonly to: MemberState
  readonly incarnation: number
  readonly by: PeerId
  readonly reason: string
}

const changesMax = 256

/** The last state changes, oldest first. Renewals of a state are not recorded. */
export class History {
  readonly #changes: StateChange[] = []

  record(change: StateChange): void {
    if (change.from === change.to) return
    this.#changes.push(change)
    if (this.#changes.length > changesMax) this.#changes.shift()
  }

  snapshot(): readonly StateChange[] {
    return this.#changes
  }
}
