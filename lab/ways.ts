/** What frames or packets suffer in one direction. */
export interface Way {
  /** How likely one is lost, in [0, 1]. */
  readonly loss: number
  /** One way. */
  readonly delayMs: number
}

/** What lies between peers, by their names; who has not been started yet can be cut off already. */
export interface Between {
  /** From now on nothing that these send reaches those. */
  cut(from: readonly string[], to: readonly string[]): Promise<void>
  /** From now on what `from` sends comes to `to` like that. */
  link(from: string, to: string, way: Way): Promise<void>
  /** All gets through again, at once. */
  heal(): Promise<void>
}

interface WaysParts {
  /** All that is to be suffered there now, by who sends. */
  readonly tell: (at: string, ways: ReadonlyMap<string, Way>) => Promise<void>
  /** Tells everybody that there is nothing to suffer any more; left out: those are told who had something. */
  readonly tellHealed?: () => Promise<void>
}

/** What each is to suffer of whom. Whenever that changes, it is told where it arrives. */
export class Ways implements Between {
  readonly #parts: WaysParts
  readonly #ways = new Map<string, Map<string, Way>>()

  constructor(parts: WaysParts) {
    this.#parts = parts
  }

  /** This one is there now, as who is told and as who sends: told are those whom that concerns. */
  async came(name: string): Promise<void> {
    await this.#tellAll([...this.#ways].filter(([at, ways]) => at === name || ways.has(name)).map(([at]) => at))
  }

  async cut(from: readonly string[], to: readonly string[]): Promise<void> {
    for (const at of to) for (const of of from) this.#at(at).set(of, { loss: 1, delayMs: 0 })
    await this.#tellAll(to)
  }

  async link(from: string, to: string, way: Way): Promise<void> {
    this.#at(to).set(from, way)
    await this.#tellAll([to])
  }

  async heal(): Promise<void> {
    const concerned = [...this.#ways.keys()]
    this.#ways.clear()
    await (this.#parts.tellHealed?.() ?? this.#tellAll(concerned))
  }

  #at(name: string): Map<string, Way> {
    const ways = this.#ways.get(name) ?? new Map<string, Way>()
    this.#ways.set(name, ways)
    return ways
  }

  async #tellAll(names: readonly string[]): Promise<void> {
    await Promise.all(names.map((name) => this.#parts.tell(name, this.#ways.get(name) ?? new Map())))
  }
}
