import type { LiveReadKind } from './metrics.ts'
import { overloaded } from './overload.ts'

/** The reads that wait for records: counted, bounded, and woken when the gateway drains. */
export class LiveReads {
  readonly #max: number
  readonly #wakers = new Map<() => void, LiveReadKind>()
  #draining = false

  constructor(max: number) {
    this.#max = max
  }

  get count(): number {
    return this.#wakers.size
  }

  counts(): Record<LiveReadKind, number> {
    const counts = { stream: 0, longPoll: 0, webSocket: 0 }
    for (const kind of this.#wakers.values()) counts[kind]++
    return counts
  }

  get draining(): boolean {
    return this.#draining
  }

  /** `wake` is called once if the gateway drains. Returns what ends the read. Throws OVERLOADED at the bound. */
  begin(wake: () => void, kind: LiveReadKind = 'stream'): () => void {
    if (this.#wakers.size >= this.#max) {
      throw overloaded('live-reads', `This peer serves ${this.#max} live reads already.`)
    }
    const waker = (): void => wake()
    this.#wakers.set(waker, kind)
    return () => void this.#wakers.delete(waker)
  }

  /** From now on streams say `bye` and long-polls answer at once. */
  drain(): void {
    this.#draining = true
    for (const wake of this.#wakers.keys()) wake()
  }
}
