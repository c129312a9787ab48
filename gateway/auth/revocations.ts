import { limits } from '#protocol/limits'

/** Ids of tokens that are good no more, each until the token would have expired. */
export class Revocations {
  readonly #untilMs = new Map<string, number>()

  get count(): number {
    return this.#untilMs.size
  }

  has(id: string): boolean {
    return this.#untilMs.has(id)
  }

  /** Of several the one that lasts longest counts. False: there are too many that have not expired. */
  add(id: string, untilMs: number, nowMs: number): boolean {
    const known = this.#untilMs.get(id)
    if (known === undefined && !this.hasRoom(nowMs)) return false
    this.#untilMs.set(id, Math.max(known ?? untilMs, untilMs))
    return true
  }

  /** For one more. */
  hasRoom(nowMs: number): boolean {
    return this.#untilMs.size < limits.revocationsMax || this.#forgetExpired(nowMs)
  }

  *all(): Generator<{ readonly id: string; readonly untilMs: number }> {
    for (const [id, untilMs] of this.#untilMs) yield { id, untilMs }
  }

  #forgetExpired(nowMs: number): boolean {
    for (const [id, untilMs] of this.#untilMs) if (untilMs <= nowMs) this.#untilMs.delete(id)
    return this.#untilMs.size < limits.revocationsMax
  }
}
