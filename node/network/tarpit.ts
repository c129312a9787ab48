import { networkLimits } from './network-limits.ts'
import type { Millis } from '#protocol/machine'

interface Address {
  /** Nobody has been refused there since so long that it is forgotten. */
  readonly untilMs: Millis
  /** When the next connection from there may go on. */
  readonly nextAtMs: Millis
}

/**
 * A handshake takes some 20 ms of a processor at either end, and only at its end is a stranger known for one. So an address from which
 * strangers came within the last minute has its connections wait in a row (a tarpit): its peers, if it has any, wait with them.
 */
export class Tarpit {
  /** Of whom a stranger was refused longest ago first. */
  readonly #addresses = new Map<string, Address>()

  /** A stranger from there was refused. */
  refused(ip: string, nowMs: Millis): void {
    const nextAtMs = this.#addresses.get(ip)?.nextAtMs ?? nowMs
    this.#addresses.delete(ip)
    this.#addresses.set(ip, { untilMs: nowMs + networkLimits.strangerMemoryMs, nextAtMs })
    const [oldest] = this.#addresses.keys()
    if (this.#addresses.size > networkLimits.strangerAddressesMax && oldest !== undefined)
      this.#addresses.delete(oldest)
  }

  /** How long a new connection from there has to wait; undefined if too many do. */
  waitMs(ip: string, nowMs: Millis): Millis | undefined {
    const address = this.#addresses.get(ip)
    if (address === undefined) return 0
    if (nowMs >= address.untilMs) {
      this.#addresses.delete(ip)
      return 0
    }
    const atMs = Math.max(nowMs, address.nextAtMs)
    if (atMs - nowMs > networkLimits.strangerWaitMsMax) return undefined
    this.#addresses.set(ip, { ...address, nextAtMs: atMs + networkLimits.strangerRestMs })
    return atMs - nowMs
  }
}
