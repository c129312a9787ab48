/** Since when everybody has been given all that was accepted before a moment, such as a heal. */
interface Goal {
  readonly setAtMs: number
  /** By writer: how many of its records. */
  readonly counts: ReadonlyMap<string, number>
  /** Readers that still lack some. */
  readonly lacking: Set<string>
  reachedAtMs?: number
}

/** What readers are told, live, against what was acked. Writers number their records through from 0. */
export class Convergence {
  readonly #acked = new Map<string, number>()
  readonly #read = new Map<string, Map<string, number>>()
  readonly #goals: Goal[] = []

  /** Records of this writer before `count` that were accepted are owed. */
  acked(writer: string, count: number): void {
    this.#acked.set(writer, count)
  }

  addReader(reader: string): void {
    this.#read.set(reader, new Map())
  }

  read(reader: string, writer: string, seq: number, atMs: number): void {
    const counts = this.#read.get(reader)
    if (counts === undefined || seq < (counts.get(writer) ?? 0)) return
    counts.set(writer, seq + 1)
    for (const goal of this.#goals) if (goal.lacking.has(reader)) this.#check(goal, reader, counts, atMs)
  }

  /** From now on everybody who reads is to come to have what was accepted until now. */
  aim(atMs: number): void {
    const goal: Goal = { setAtMs: atMs, counts: new Map(this.#acked), lacking: new Set(this.#read.keys()) }
    this.#goals.push(goal)
    for (const [reader, counts] of this.#read) this.#check(goal, reader, counts, atMs)
  }

  /** One for each `aim`: how long it took; undefined if somebody still lacks something. */
  get tookMs(): readonly (number | undefined)[] {
    return this.#goals.map(({ setAtMs, reachedAtMs }) =>
      reachedAtMs === undefined ? undefined : reachedAtMs - setAtMs,
    )
  }

  #check(goal: Goal, reader: string, counts: ReadonlyMap<string, number>, atMs: number): void {
    for (const [writer, count] of goal.counts) if ((counts.get(writer) ?? 0) < count) return
    goal.lacking.delete(reader)
    if (goal.lacking.size === 0) goal.reachedAtMs = atMs
  }
}
