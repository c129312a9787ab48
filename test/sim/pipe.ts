import type { Dice } from './dice.ts'
import type { Millis } from '#protocol/machine'
import type { Scheduler } from './scheduler.ts'

/**
 * The way from one peer to another. While it is cut, for one reason or more, nothing passes and nobody is told: a
 * partition is silence, and so is a machine without power.
 */
export class Path {
  readonly #scheduler: Scheduler
  readonly #dice: Dice
  readonly #latencyMs: number
  readonly bytesPerMs: number
  readonly #stalled = new Set<() => void>()
  readonly #cuts = new Set<string>()
  #clog: { readonly untilMs: Millis; readonly extraMs: Millis } | undefined

  constructor(scheduler: Scheduler, dice: Dice, speed: { readonly latencyMs: number; readonly bytesPerMs: number }) {
    this.#scheduler = scheduler
    this.#dice = dice
    this.#latencyMs = speed.latencyMs
    this.bytesPerMs = speed.bytesPerMs
  }

  get isCut(): boolean {
    return this.#cuts.size > 0
  }

  /** One-way delay of one packet: mostly near the path's own, sometimes twice as long. */
  delayMs(): Millis {
    const extraMs = this.#clog !== undefined && this.#scheduler.nowMs < this.#clog.untilMs ? this.#clog.extraMs : 0
    return this.#latencyMs * (1 + this.#dice.next() ** 4) + extraMs
  }

  /** Full buffers on the way: everything takes longer for a while. */
  clog(extraMs: Millis, forMs: Millis): void {
    this.#clog = { untilMs: this.#scheduler.nowMs + forMs, extraMs }
  }

  cut(reason: string): void {
    this.#cuts.add(reason)
  }

  /** Calls `resume` once the path is healed and TCP has tried again. */
  onceHealed(resume: () => void): void {
    this.#stalled.add(resume)
  }

  heal(reason: string): void {
    if (!this.#cuts.delete(reason) || this.isCut) return
    for (const resume of this.#stalled) this.#scheduler.after(this.#dice.between(1, 1_000), resume)
    this.#stalled.clear()
  }
}

interface Frame {
  readonly bytes: number
  readonly arrivesAtMs: Millis
  readonly arrive: () => void
}

/** What a stream holds for a reader that does not read, before its writer has to wait: yamux's window. */
const windowBytes = 256 * 1024

/**
 * One direction of one stream: what is sent arrives in order, each frame after its own delay and the time that its bytes
 * take. What was sent before a process ended still arrives; a receiver that is gone answers it with a reset.
 */
export class Pipe {
  readonly #scheduler: Scheduler
  readonly #path: Path
  readonly #frames: Frame[] = []
  #writtenWaiters: (() => void)[] = []
  #sentUntilMs: Millis = 0
  #arrivedUntilMs: Millis = 0
  #broken = false
  #stalledSinceMs: Millis | undefined
  readonly #giveUp: { readonly afterMs: Millis; readonly run: () => void }
  /** Bytes sent and not yet taken by the receiving process. */
  unreadBytes = 0

  /** `giveUp`: when nothing has got through for so long, TCP tells the sender that the connection is broken. */
  constructor(scheduler: Scheduler, path: Path, giveUp: { readonly afterMs: Millis; readonly run: () => void }) {
    this.#scheduler = scheduler
    this.#path = path
    this.#giveUp = giveUp
  }

  /** `arrive` is called at the receiver; it calls `taken(bytes)` once its process has read the frame. */
  send(bytes: number, arrive: () => void): void {
    if (this.#broken) return
    this.unreadBytes += bytes
    const now = this.#scheduler.nowMs
    this.#sentUntilMs = Math.max(now, this.#sentUntilMs) + bytes / this.#path.bytesPerMs
    this.#arrivedUntilMs = Math.max(this.#arrivedUntilMs, this.#sentUntilMs + this.#path.delayMs())
    this.#frames.push({ bytes, arrivesAtMs: this.#arrivedUntilMs, arrive })
    if (this.#frames.length === 1) this.#awaitFirst()
  }

  taken(bytes: number): void {
    this.unreadBytes -= bytes
    this.#tellWritten()
  }

  /** Calls back once the stream can take another frame: the last one is sent, and no more than a window is unread. */
  onceWritten(written: () => void): void {
    this.#scheduler.at(Math.max(this.#scheduler.nowMs, this.#sentUntilMs), () => {
      this.#writtenWaiters.push(written)
      this.#tellWritten()
    })
  }

  /** Nothing more comes out before `atMs`: the other side has not accepted the stream yet. */
  holdUntil(atMs: Millis): void {
    this.#arrivedUntilMs = Math.max(this.#arrivedUntilMs, atMs)
  }

  /** The sending machine is off. */
  break(): void {
    this.#broken = true
    this.#frames.length = 0
    this.#writtenWaiters = []
    this.#stalledSinceMs = undefined
  }

  #tellWritten(): void {
    if (this.#broken || this.unreadBytes > windowBytes) return
    for (const written of this.#writtenWaiters.splice(0)) written()
  }

  #awaitFirst(): void {
    const first = this.#frames[0] as Frame
    this.#scheduler.at(Math.max(this.#scheduler.nowMs, first.arrivesAtMs), () => this.#deliverFirst())
  }

  #deliverFirst(): void {
    if (this.#broken) return
    if (this.#path.isCut) return this.#stall()
    this.#stalledSinceMs = undefined
    const { arrive } = this.#frames.shift() as Frame
    if (this.#frames.length > 0) this.#awaitFirst()
    arrive()
  }

  #stall(): void {
    this.#path.onceHealed(() => this.#deliverFirst())
    if (this.#stalledSinceMs !== undefined) return
    const since = this.#scheduler.nowMs
    this.#stalledSinceMs = since
    this.#scheduler.after(this.#giveUp.afterMs, () => {
      if (this.#stalledSinceMs === since) this.#giveUp.run()
    })
  }
}
