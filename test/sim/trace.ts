import { createHash } from 'node:crypto'
import type { Scheduler } from './scheduler.ts'

/** Lines kept for the excerpt of a failure. */
const tailLinesMax = 60

/**
 * What happened, one line per event, made for reading (columns: README.md). The hash over all lines tells whether two
 * runs were the same.
 */
export class Trace {
  readonly #scheduler: Scheduler
  readonly #print: ((line: string) => void) | undefined
  readonly #hash = createHash('sha256')
  readonly #tail: string[] = []

  constructor(scheduler: Scheduler, print?: (line: string) => void) {
    this.#scheduler = scheduler
    this.#print = print
  }

  line(peer: string, what: string, detail: string): void {
    const text = `${this.#scheduler.nowMs.toFixed(1).padStart(9)}  ${peer.padEnd(4)} ${what.padEnd(9)} → ${detail}`
    this.#hash.update(text).update('\n')
    this.#print?.(text)
    this.#tail[this.#tail.length] = text
    if (this.#tail.length >= 2 * tailLinesMax) this.#tail.splice(0, tailLinesMax)
  }

  tail(): readonly string[] {
    return this.#tail.slice(-tailLinesMax)
  }

  /** SHA-256 of everything so far, in hex. */
  hash(): string {
    return this.#hash.copy().digest('hex')
  }
}
