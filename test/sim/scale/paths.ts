import type { Millis, Random } from '#protocol/machine'

/**
 * What becomes of packets that are lost. `resent`: as TCP does it, so that a frame comes later, and all behind it on its
 * stream with it. `gone`: as in the papers about datagrams; a stream cannot do that, so it is the harsher of the two.
 */
export type LostPackets = 'resent' | 'gone'

export interface PathOptions {
  /** Share of packets lost, 0 … 1, each on its own. */
  readonly loss: number
  readonly lostPackets: LostPackets
}

const medianMs: Millis = 5
const sigma = 0.8
/** Linux: the first retransmission of a segment, and of a SYN. */
const resendMs: Millis = 200
const resendDialMs: Millis = 1_000
const resendsMax = 12
/** TCP, TLS, yamux and admission: how often a dialer waits for an answer. */
const dialRoundTrips = 4

/** One way: log-normal, 5 ms in the median, 32 ms at the 99th percentile; and what loss adds. */
export class Paths {
  readonly #options: PathOptions
  readonly #random: Random

  constructor(options: PathOptions, random: Random) {
    this.#options = options
    this.#random = random
  }

  /** Undefined: it never arrives. */
  frameMs(): Millis | undefined {
    if (this.#options.lostPackets === 'gone') return this.#isLost() ? undefined : this.oneWayMs()
    return this.oneWayMs() + this.#resends(resendMs)
  }

  dialMs(): Millis {
    let ms = this.#resends(resendDialMs)
    for (let leg = 0; leg < 2 * dialRoundTrips; leg++) ms += this.oneWayMs() + (leg > 0 ? this.#resends(resendMs) : 0)
    return ms
  }

  oneWayMs(): Millis {
    const { log, cos, sqrt, exp, PI } = Math
    const normal = sqrt(-2 * log(1 - this.#random.next())) * cos(2 * PI * this.#random.next())
    return medianMs * exp(sigma * normal)
  }

  #resends(firstMs: Millis): Millis {
    let ms = 0
    for (let n = 0; n < resendsMax && this.#isLost(); n++) ms += firstMs * 2 ** n
    return ms
  }

  #isLost(): boolean {
    return this.#options.loss > 0 && this.#random.next() < this.#options.loss
  }
}
