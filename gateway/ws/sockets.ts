import { MeshError } from '#protocol/errors'
import { limits } from '#protocol/limits'
import type { GatewayConfig } from '../config.ts'
import { fairShare, overloaded } from '../overload.ts'

/** What the gateway does to a socket. */
export interface LiveSocket {
  /** Says `bye`, lets publishes finish, then closes. */
  drain(): void
  /** Ends at once. */
  cut(): void
  /** Of a frame that is not whole yet. */
  readonly arrivingBytes: number
  /** Says that this is too much, ends, and forgets what had arrived. */
  refuseMore(): void
}

/** The WebSockets of a peer: counted, bounded, told when the gateway drains. Frames that are arriving share a bound, as bodies do. */
export class Sockets {
  readonly #max: number
  readonly #arrivingBytesMax: number
  readonly #unsentBytesMax: number
  readonly #sockets = new Set<LiveSocket>()
  #arrivingBytes = 0
  #draining = false

  constructor(bounds: Pick<GatewayConfig, 'socketsMax' | 'arrivingBytesMax' | 'unsentBytesMax'>) {
    this.#max = bounds.socketsMax
    this.#arrivingBytesMax = bounds.arrivingBytesMax
    this.#unsentBytesMax = bounds.unsentBytesMax
  }

  get count(): number {
    return this.#sockets.size
  }

  /** Of frames that are not whole yet. */
  get arrivingBytes(): number {
    return this.#arrivingBytes
  }

  /** So much may wait for one of them before it is sent no more records. */
  get bufferedBytesTarget(): number {
    return fairShare(this.#unsentBytesMax, this.#sockets.size, limits.socketBufferedBytesTarget)
  }

  /** Why one more socket is not taken now: DRAINING, OVERLOADED. */
  get refusal(): MeshError | undefined {
    if (this.#draining) return new MeshError('DRAINING')
    if (this.#sockets.size < this.#max) return undefined
    return overloaded('sockets', `This peer serves ${this.#max} WebSockets already.`)
  }

  /** Returns what ends it. */
  begin(socket: LiveSocket): () => void {
    this.#sockets.add(socket)
    // It was on its way when the others were told.
    if (this.#draining) socket.drain()
    return () => void this.#sockets.delete(socket)
  }

  /**
   * Bytes of a frame that has begun (negative: it is whole, or given up). When that is too much of all together, who has sent
   * most of one goes: not whoever comes last, or a few could keep all others from sending anything.
   */
  arrived(bytes: number): void {
    this.#arrivingBytes += bytes
    if (bytes <= 0) return
    while (this.#arrivingBytes > this.#arrivingBytesMax) {
      const largest = this.#largest()
      if (largest === undefined) return
      largest.refuseMore()
    }
  }

  #largest(): LiveSocket | undefined {
    let largest: LiveSocket | undefined
    for (const socket of this.#sockets) {
      if (socket.arrivingBytes > (largest?.arrivingBytes ?? 0)) largest = socket
    }
    return largest
  }

  drain(): void {
    this.#draining = true
    for (const socket of this.#sockets) socket.drain()
  }

  cut(): void {
    for (const socket of this.#sockets) socket.cut()
  }
}
