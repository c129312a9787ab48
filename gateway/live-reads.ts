import { MeshError } from '#protocol/errors'

/** The reads that wait for records (SSE streams and long-polls): counted, bounded, and woken when the gateway drains. */
export class LiveReads {
  readonly #max: number
  readonly #wakers = new Set<() => void>()
  #draining = false

  constructor(max: number) {
    this.#max = max
  }

  get count(): number {
    return this.#wakers.size
  }

  get draining(): boolean {
    return this.#draining
  }

  /** `wake` is called once if the gateway drains. Returns what ends the read. Throws OVERLOADED at the bound. */
  begin(wake: () => void): () => void {
    if (this.#wakers.size >= this.#max) {
      throw new MeshError('OVERLOADED', `This peer serves ${this.#max} live reads already.`)
    }
    const waker = (): void => wake()
    this.#wakers.add(waker)
    return () => void this.#wakers.delete(waker)
  }

  /** From now on streams say `bye` and long-polls answer at once. */
  drain(): void {
    this.#draining = true
    for (const wake of this.#wakers) wake()
  }
}
