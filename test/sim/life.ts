import type { Scheduler } from './scheduler.ts'

/**
 * One run of a process, from boot to death. Whatever happens *to* a process (a timer, a frame, a completed write) goes
 * through here: in order after a pause is over, and never once the process is gone.
 */
export class Life {
  readonly #scheduler: Scheduler
  #state: 'running' | 'paused' | 'over' = 'running'
  #resuming = false
  #pauses = 0
  #waiting: (() => void)[] = []

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler
  }

  get over(): boolean {
    return this.#state === 'over'
  }

  do(task: () => void): void {
    if (this.#state === 'running') task()
    else if (this.#state === 'paused') this.#waiting.push(task)
  }

  /** A stalled event loop: a long garbage collection, SIGSTOP, a laptop lid. */
  pause(forMs: number): void {
    if (this.#state !== 'running') return
    this.#state = 'paused'
    const pause = ++this.#pauses
    this.#scheduler.after(forMs, () => {
      if (pause === this.#pauses) this.goOn()
    })
  }

  /** Also before its time. What came meanwhile is taken in turn. */
  goOn(): void {
    if (this.#state === 'paused' && !this.#resuming) this.#resume()
  }

  end(): void {
    this.#state = 'over'
    this.#waiting = []
  }

  // One task per event, so that the promise reactions of each run before the next; what comes meanwhile queues behind.
  #resume(): void {
    if (this.#state !== 'paused') return
    const task = this.#waiting.shift()
    this.#resuming = task !== undefined
    if (task === undefined) {
      this.#state = 'running'
      return
    }
    task()
    this.#scheduler.after(0, () => this.#resume())
  }
}
