import { copiesNeeded } from '#protocol/ack-level'
import type { PeerId } from '#protocol/ids'
import { type FeedKey, feedKeyOf } from '#protocol/log/feed'
import type { Millis } from '#protocol/machine'
import type { PendingPublish, SettledPublish } from './inputs.ts'

/** Who belongs to a topic: in this version every registered member. The denominator of `majority` and `all` (DESIGN §7). */
export interface Home {
  readonly peers: readonly PeerId[]
  readonly registryVersion: string
  /** False until a joining peer has merged one registry: it does not know yet whom to count. */
  readonly merged: boolean
}

/** Peers that hold our feed up to `endOffset` on disk, with our chain; this peer first. Undefined: not durable here yet. */
export type Holders = (key: FeedKey, endOffset: number) => readonly PeerId[] | undefined

/**
 * Publishes that wait for copies. One is settled as `reached` when its level is met, or as not reached at its deadline; in
 * both cases only once it is durable here (P2).
 */
export class Settlement {
  readonly #pending = new Map<FeedKey, PendingPublish[]>()

  add(publish: PendingPublish): void {
    const key = feedKeyOf(publish.feed)
    const waiting = this.#pending.get(key)
    if (waiting === undefined) this.#pending.set(key, [publish])
    else waiting.push(publish)
  }

  isWaiting(key: FeedKey): boolean {
    return this.#pending.has(key)
  }

  /** When the next publish runs out of time; Infinity for none. Ones past it wait only for this peer's own disk. */
  nextDeadlineMs(nowMs: Millis): Millis {
    const deadlines = [...this.#pending.values()]
      .flat()
      .map(({ level, deadlineMs }) =>
        level.type === 'local' || deadlineMs <= nowMs ? Number.POSITIVE_INFINITY : deadlineMs,
      )
    return deadlines.reduce((earliest, deadline) => Math.min(earliest, deadline), Number.POSITIVE_INFINITY)
  }

  keys(): readonly FeedKey[] {
    return [...this.#pending.keys()]
  }

  /** Takes out and returns what can be answered now. */
  settle(key: FeedKey, nowMs: Millis, home: Home, holders: Holders): readonly SettledPublish[] {
    const settled: SettledPublish[] = []
    const waiting = (this.#pending.get(key) ?? []).filter((publish) => {
      const answer = answerOf(publish, nowMs, home, holders(key, publish.endOffset))
      if (answer !== undefined) settled.push(answer)
      return answer === undefined
    })
    if (waiting.length === 0) this.#pending.delete(key)
    else this.#pending.set(key, waiting)
    return settled
  }
}

function answerOf(
  publish: PendingPublish,
  nowMs: Millis,
  home: Home,
  peers: readonly PeerId[] | undefined,
): SettledPublish | undefined {
  if (peers === undefined) return undefined
  const needed = copiesNeeded(publish.level, home.peers.length)
  const copies = needed.homeOnly ? peers.filter((peer) => home.peers.includes(peer)) : peers
  const known = home.merged || publish.level.type === 'local'
  const reached = known && copies.length >= needed.count
  if (!reached && nowMs < publish.deadlineMs) return undefined
  return { ref: publish.ref, reached, peers, registryVersion: home.registryVersion, home: home.peers }
}
