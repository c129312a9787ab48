import { pause } from '#client/backoff'
import type { ProcessPeer } from '../integration/process-peer.ts'

const everyMs = 25

/** One small publish after the other with `ack=local`, paced, at a topic of its own: how long each took, in milliseconds. */
export class Probes {
  readonly #stop = new AbortController()
  readonly #times: number[] = []
  readonly #done: Promise<void>

  constructor(peer: ProcessPeer) {
    this.#done = this.#run(peer)
  }

  /** Those since the last call. */
  take(): readonly number[] {
    return this.#times.splice(0)
  }

  async end(): Promise<readonly number[]> {
    this.#stop.abort()
    await this.#done
    return this.take()
  }

  async #run(peer: ProcessPeer): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      const startMs = performance.now()
      await peer.client.publish('probes', 'p'.repeat(128))
      this.#times.push(performance.now() - startMs)
      await pause(everyMs, signal).catch(() => undefined)
    }
  }
}
