/** Something that must not happen, and how to make it happen again. */
export interface Finding {
  readonly target: string
  /** Of the input, from 0: with the seed it says which bytes. */
  readonly index: number
  readonly what: string
  /** The input, as much as can be printed. */
  readonly input: string
}

/** What to throw at a peer. */
export interface FuzzOrder {
  readonly seed: number
  readonly count: number
  /** It ends then, however many there were. */
  readonly seconds?: number | undefined
}

export interface FuzzReport {
  readonly target: string
  readonly inputs: number
  readonly findings: readonly Finding[]
  /** What was seen, by kind, such as codes of answers. */
  readonly seen: Readonly<Record<string, number>>
  /** Longest that the peer was busy with one thing, in milliseconds. */
  readonly stallMs: number
  readonly memoryMiB: { readonly before: number; readonly after: number }
  readonly seconds: number
}

/** Enough to see what is wrong; the rest follows from the seed. */
export const findingsMax = 20

export const printable = (bytes: Uint8Array): string =>
  JSON.stringify(Buffer.from(bytes.subarray(0, 2_000)).toString('latin1'))

/** Counts by kind. */
export class Tally {
  readonly counts: Record<string, number> = {}

  add(kind: string): void {
    this.counts[kind] = (this.counts[kind] ?? 0) + 1
  }
}
