/** A value that changes, and those who follow it: each is told the last one, whatever came in between. */
export class Latest<T> {
  #value: T
  #changed = Promise.withResolvers<void>()

  constructor(value: T) {
    this.#value = value
  }

  get value(): T {
    return this.#value
  }

  set(value: T): void {
    this.#value = value
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
  }

  /** The value now, and each time that it has changed. Ends by throwing the signal's reason. */
  async *follow(signal: AbortSignal): AsyncGenerator<T, never> {
    const end = Promise.withResolvers<never>()
    const abort = (): void => end.reject(signal.reason as Error)
    signal.addEventListener('abort', abort)
    end.promise.catch(() => undefined)
    try {
      for (let told: T | undefined; ;) {
        signal.throwIfAborted()
        const changed = this.#changed.promise
        if (told === this.#value) await Promise.race([changed, end.promise])
        else yield (told = this.#value)
      }
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }
}
