import { createHash } from 'node:crypto'
import type { Scheduler } from './scheduler.ts'

/** Lines kept for the excerpt of a failure. */
const tailLinesMax = 60
/** Lines that are hashed in one go. */
const pendingLinesMax = 500

/**
 * What happened, one line per event, made for reading (columns: README.md). The hash over all lines tells whether two
 * runs were the same.
 */
export class Trace {
  readonly #scheduler: Scheduler
  readonly #print: ((line: string) => void) | undefined
  readonly #hash = createHash('sha256')
  /** The newest lines, oldest first; those from `#hashed` on are not in the hash yet. */
  readonly #tail: string[] = []
  #hashed = 0

  constructor(scheduler: Scheduler, print?: (line: string) => void) {
    this.#scheduler = scheduler
    this.#print = print
  }

  line(peer: string, what: string, detail: string): void {
    const text = `${this.#scheduler.nowMs.toFixed(1).padStart(9)}  ${peer.padEnd(4)} ${what.padEnd(9)} → ${detail}`
    this.#print?.(text)
    this.#tail.push(text)
    if (this.#tail.length - this.#hashed >= pendingLinesMax) this.#hashPending()
  }

  get nowMs(): number {
    return this.#scheduler.nowMs
  }

  tail(): readonly string[] {
    return this.#tail.slice(-tailLinesMax)
  }

  /** SHA-256 of everything so far, in hex. */
  hash(): string {
    this.#hashPending()
    return this.#hash.copy().digest('hex')
  }

  #hashPending(): void {
    this.#hash.update(
      this.#tail
        .slice(this.#hashed)
        .map((line) => `${line}\n`)
        .join(''),
    )
    this.#tail.splice(0, this.#tail.length - tailLinesMax)
    this.#hashed = this.#tail.length
  }
}
