/**
 * The sans-IO contract (DESIGN §3). A machine never waits, reads a clock, opens a socket or rolls dice: everything it
 * knows arrives as an input, everything it wants done leaves as an effect, in the order to perform them.
 */

/** Monotonic milliseconds. Wall time is named `wallMs` and enters only the hybrid clock. */
export type Millis = number

export interface Machine<Input, Effect> {
  /** Handles one input at `nowMs`, to completion. Remote input never throws; assertions are for our own mistakes. */
  handle(input: Input, nowMs: Millis): readonly Effect[]
}

export interface Random {
  /** A float in [0, 1). */
  next(): number
}
