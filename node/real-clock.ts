import type { Clock } from './driver-ports.ts'

/** Node fires a timer at once when its delay does not fit into 31 bits, so longer ones are walked in steps. */
const delayMsMax = 2 ** 31 - 1

/** The clock of a peer process. Its timers keep the process alive no longer than its sockets do. */
export const realClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after: (afterMs, run) => {
    if (afterMs <= delayMsMax) setTimeout(run, afterMs).unref()
    else setTimeout(() => realClock.after(afterMs - delayMsMax, run), delayMsMax).unref()
  },
}
