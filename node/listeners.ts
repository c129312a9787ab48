/** Who wants to be told of one kind of fact. */
export class Listeners<Args extends readonly unknown[] = readonly []> {
  readonly #listeners = new Set<(...args: Args) => void>()

  /** Returns what ends it. */
  add(listener: (...args: Args) => void): () => void {
    // Wrapped, so that one function may be added twice.
    const own = (...args: Args): void => listener(...args)
    this.#listeners.add(own)
    return () => void this.#listeners.delete(own)
  }

  tell(...args: Args): void {
    for (const listener of this.#listeners) listener(...args)
  }
}
