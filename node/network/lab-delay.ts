import type { Clock } from '../driver-ports.ts'
import { limits } from '#protocol/limits'
import type { Millis, Random } from '#protocol/machine'

/** What lab mode does to frames on their way from one peer to this one. */
export interface LabWay {
  /** How likely one sending of a frame is lost, in [0, 1]; at 1 nothing arrives at all. */
  readonly loss: number
  /** How long each takes, one way. */
  readonly delayMs: Millis
}

/** The first retransmission timeout of Linux, which adds the round trip; it is doubled each time (RFC 6298, 5.5). */
const retransmitMsMin = 200
const retransmitMsMax = 120_000
const retransmitsMax = 15
/** What a waiting frame costs beside its bytes. */
const overheadBytes = 256

/**
 * How long a frame is on its way. A stream loses nothing in its middle, so a loss is a delay: until the sender's timeout is
 * over, and twice as long if the repetition is lost, too (ADR 0023).
 */
export function transitMs({ loss, delayMs }: LabWay, random: Random): Millis {
  let [ms, timeoutMs] = [delayMs, retransmitMsMin + 2 * delayMs]
  for (let sent = 0; sent < retransmitsMax && random.next() < loss; sent++) {
    ms += timeoutMs
    timeoutMs = Math.min(2 * timeoutMs, retransmitMsMax)
  }
  return ms
}

interface Waiting {
  readonly dueMs: Millis
  readonly bytes: number
  readonly deliver: () => void
}

/** What has been sent over one link and has not arrived: in order, so one that is late holds up all behind it. */
export class DelayedFrames {
  readonly #clock: Pick<Clock, 'nowMs' | 'after'>
  #waiting: Waiting[] = []
  #bytes = 0
  #wakesAtMs = Infinity

  constructor(clock: Pick<Clock, 'nowMs' | 'after'>) {
    this.#clock = clock
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0
  }

  /** False: there is no room, as where the buffers of a real way are full. */
  push(frameBytes: number, transitMsOfIt: Millis, deliver: () => void): boolean {
    const bytes = frameBytes + overheadBytes
    if (this.#bytes + bytes > limits.labDelayedBytesMax) return false
    const dueMs = this.#clock.nowMs() + transitMsOfIt
    this.#bytes += bytes
    this.#waiting.push({ dueMs, bytes, deliver })
    this.#wake()
    return true
  }

  clear(): void {
    this.#waiting = []
    this.#bytes = 0
  }

  #wake(): void {
    const dueMs = this.#waiting[0]?.dueMs
    if (dueMs === undefined || dueMs >= this.#wakesAtMs) return
    this.#wakesAtMs = dueMs
    this.#clock.after(Math.max(0, dueMs - this.#clock.nowMs()), () => {
      this.#wakesAtMs = Infinity
      this.#deliverDue()
      this.#wake()
    })
  }

  /** Whoever takes a frame may clear what is behind it. */
  #deliverDue(): void {
    for (let first = this.#waiting[0]; first !== undefined && first.dueMs <= this.#clock.nowMs();) {
      this.#waiting.shift()
      this.#bytes -= first.bytes
      first.deliver()
      first = this.#waiting[0]
    }
  }
}
