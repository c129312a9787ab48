/** Stands for all that have no label of their own. Names of topics and members do not start with `$`, but for our own topics. */
export const other = '$other'

/**
 * Labels for the first `max` names in their order; all others share one. So what a scrape costs is bounded, whatever the
 * mesh holds, and a name keeps its label while no smaller one comes.
 */
export function boundedLabels(names: Iterable<string>, max: number): (name: string | undefined) => string {
  const labeled = new Set([...new Set(names)].toSorted().slice(0, max))
  return (name) => (name !== undefined && labeled.has(name) ? name : other)
}

/** Adds up what falls under one label. */
export class Sums {
  readonly #sums = new Map<string, number>()

  add(label: string, value: number): void {
    this.#sums.set(label, (this.#sums.get(label) ?? 0) + value)
  }

  get entries(): Iterable<readonly [string, number]> {
    return this.#sums
  }
}
