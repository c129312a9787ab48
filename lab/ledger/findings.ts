const examplesMax = 5

/** How often something was found, and the first few of them in words. */
export class Findings {
  #count = 0
  readonly #examples: string[] = []

  add(inWords: string, count = 1): void {
    this.#count += count
    if (this.#examples.length < examplesMax) this.#examples.push(inWords)
  }

  take(more: Findings): void {
    this.#count += more.count
    this.#examples.push(...more.examples.slice(0, examplesMax - this.#examples.length))
  }

  get count(): number {
    return this.#count
  }

  get examples(): readonly string[] {
    return this.#examples
  }

  toJSON(): { readonly count: number; readonly examples: readonly string[] } {
    return { count: this.#count, examples: this.#examples }
  }
}
