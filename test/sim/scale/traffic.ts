import type { Millis } from '#protocol/machine'
import type { MembershipMessage } from '#protocol/membership/messages'
import { encodeControl } from '#protocol/wire/control-frame'

/** What members send, as the codec of the wire encodes it. The few dozen bytes that yamux, TLS and TCP add are not in it. */
export class Traffic {
  readonly #perSecond: Uint32Array
  readonly #second: Int32Array
  readonly #peaks: Uint32Array
  bytes = 0
  messages = 0
  dials = 0
  readonly byType = new Map<string, { messages: number; bytes: number; bytesMax: number }>()

  constructor(members: number) {
    this.#perSecond = new Uint32Array(members)
    this.#second = new Int32Array(members)
    this.#peaks = new Uint32Array(members)
  }

  sent(member: number, message: MembershipMessage, nowMs: Millis): void {
    const bytes = encodeControl(message).length
    this.bytes += bytes
    this.messages++
    const type = this.byType.get(message.type) ?? { messages: 0, bytes: 0, bytesMax: 0 }
    this.byType.set(message.type, type)
    type.messages++
    type.bytes += bytes
    type.bytesMax = Math.max(type.bytesMax, bytes)
    const second = Math.floor(nowMs / 1_000)
    if (this.#second[member] !== second) this.#perSecond[member] = 0
    this.#second[member] = second
    const sum = (this.#perSecond[member] ?? 0) + bytes
    this.#perSecond[member] = sum
    if (sum > (this.#peaks[member] ?? 0)) this.#peaks[member] = sum
  }

  reset(): void {
    this.bytes = 0
    this.messages = 0
    this.dials = 0
    this.byType.clear()
    this.#peaks.fill(0)
  }

  /** The busiest second of each member, in bytes. */
  peaks(): readonly number[] {
    return [...this.#peaks]
  }
}
