import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

/** What a figure is called, what it says, and what to do about it. */
export interface FigureText {
  readonly name: `${'grapevine' | 'process' | 'nodejs'}_${string}`
  readonly help: string
}

type LabelValues<Label extends string> = Partial<Record<Label, string | number>>

/** A figure that is counted or known elsewhere: all of its values are replaced at every scrape. */
export type Shown<Label extends string> = (values: Iterable<readonly [LabelValues<Label>, number]>) => void

/** Makes the figures of one peer; each belongs to its registry and to no other. */
export class FigureMaker {
  readonly #registry: Registry

  constructor(registry: Registry) {
    this.#registry = registry
  }

  /** `from`: labels that are there from the start with 0, so that the first count of each shows as a rate. */
  counter<Label extends string = never>(
    text: FigureText,
    labelNames: readonly Label[] = [],
    from: readonly LabelValues<Label>[] = [],
  ): Counter<Label> {
    const counter = new Counter({ ...text, labelNames, registers: [this.#registry] })
    for (const labels of from) counter.inc(labels, 0)
    return counter
  }

  histogram<Label extends string = never>(
    text: FigureText & { readonly buckets: number[] },
    labelNames: readonly Label[] = [],
  ): Histogram<Label> {
    return new Histogram({ ...text, labelNames, registers: [this.#registry] })
  }

  /** What is now. */
  shownGauge<Label extends string>(text: FigureText, labelNames: readonly Label[] = []): Shown<Label> {
    return shown(new Gauge({ ...text, labelNames, registers: [this.#registry] }))
  }

  /** What has been since the start. */
  shownCounter<Label extends string>(text: FigureText, labelNames: readonly Label[] = []): Shown<Label> {
    return shown(this.counter(text, labelNames))
  }

  /** One value without labels. */
  gauge(text: FigureText): (value: number) => void {
    const show = this.shownGauge<never>(text)
    return (value) => show([[{}, value]])
  }

  total(text: FigureText): (value: number) => void {
    const show = this.shownCounter<never>(text)
    return (value) => show([[{}, value]])
  }
}

function shown<Label extends string>(figure: Gauge<Label> | Counter<Label>): Shown<Label> {
  return (values) => {
    figure.reset()
    for (const [labels, value] of values) figure.inc(labels, value)
  }
}

/** 1, 2, 5, 10 … between two bounds, in seconds. */
export function secondsBuckets(from: number, to: number): number[] {
  const steps = [-4, -3, -2, -1, 0, 1].flatMap((power) => [1, 2, 5].map((digit) => Number(`${digit}e${power}`)))
  return steps.filter((step) => step >= from && step <= to)
}
