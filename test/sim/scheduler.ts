import { assert } from '#protocol/assert'
import type { Millis } from '#protocol/machine'

interface Event {
  readonly atMs: Millis
  readonly order: number
  readonly run: () => void
}

const isBefore = (a: Event, b: Event): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)

/** So many events in one moment are a loop that will never end. */
const eventsAtOnceMax = 100_000

/**
 * Virtual time. One heap of events, keyed by time and then by the order in which they were asked for; nothing else may
 * cause anything to happen. After each event every promise reaction that it caused runs before the next one, so a run
 * is a function of its seed although drivers and readers are written with promises.
 */
export class Scheduler {
  readonly #heap: Event[] = []
  #nowMs: Millis = 0
  #order = 0
  #eventsAtOnce = 0

  get nowMs(): Millis {
    return this.#nowMs
  }

  /** Events run so far. */
  eventCount = 0

  after(delayMs: Millis, run: () => void): void {
    this.at(this.#nowMs + delayMs, run)
  }

  at(atMs: Millis, run: () => void): void {
    assert(atMs >= this.#nowMs, 'nothing happens in the past')
    this.#push({ atMs, order: this.#order++, run })
  }

  /** Runs what is due until `untilMs`, and stops there. A throwing event ends the run. */
  async runUntil(untilMs: Millis): Promise<void> {
    for (;;) {
      const next = this.#heap[0]
      if (next === undefined || next.atMs > untilMs) break
      this.#pop()
      this.#eventsAtOnce = next.atMs === this.#nowMs ? this.#eventsAtOnce + 1 : 0
      if (this.#eventsAtOnce > eventsAtOnceMax) throw new Error(`time stands still at ${this.#nowMs} ms`)
      this.#nowMs = next.atMs
      this.eventCount++
      next.run()
      await reactions()
    }
    this.#nowMs = untilMs
    await turnOfTheLoop()
  }

  #push(event: Event): void {
    const heap = this.#heap
    let index = heap.push(event) - 1
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (isBefore(heap[parent] as Event, event)) break
      heap[index] = heap[parent] as Event
      index = parent
    }
    heap[index] = event
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop() as Event
    if (heap.length === 0) return
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Event, heap[child] as Event)) child++
      if (isBefore(last, heap[child] as Event)) break
      heap[index] = heap[child] as Event
      index = child
    }
    heap[index] = last
  }
}

/**
 * Resolves once all promise reactions that are ready now, and those that they cause, have run: Node empties the microtask
 * queue, however long, before it takes the next tick. A turn of the event loop does so too, at ten times the price.
 */
const reactions = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve))

// Captured before real time is forbidden.
const nextTurn = setImmediate

/** Ticks alone keep Node from telling of promises that were rejected and that nobody handles. */
const turnOfTheLoop = (): Promise<void> => new Promise((resolve) => void nextTurn(resolve))
