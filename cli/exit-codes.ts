/** What the shell is told (DESIGN §13). */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  /** It worked, but not as asked: a publish below its ack level, a lab order that some peers did not take. */
  degraded: 3,
  notConverged: 4,
  /** Ended by Ctrl-C or a signal, as shells say it: 128 + SIGINT. */
  interrupted: 130,
} as const

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]
