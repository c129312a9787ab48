import type { Mesh } from '#client/mesh'
import { MeshError } from '#protocol/errors'
import type { DiskFault, History, LedgerMs, Outcome, Publish, Run } from './history.ts'
import { ReadingLog } from './reading-log.ts'
import { valueOf } from './values.ts'

/** A peer by the name that acks call it, and a client that knows it alone. */
export interface LedgerPeer {
  readonly name: string
  readonly client: Mesh
}

export interface PublishPlan extends Pick<Publish, 'writer' | 'topic' | 'firstSeq' | 'count' | 'level'> {
  readonly wait: string
  readonly isRetry?: boolean
  /** By which any peer recognizes it when it is sent again (P6). */
  readonly key?: string
  /** The client numbers it, so that it comes once, and repeats it by itself: asked in the end, how often it may have been sent. */
  readonly sends?: () => number
  readonly signal?: AbortSignal
}

/**
 * Writes down what clients asked and what they were told, which is all that promises can be held against. Publishes go
 * through it, faults of disks are told to it, and in the end `judge` compares `history` with what peers serve.
 */
export class Ledger implements History {
  readonly publishes: Publish[] = []
  #diskFaults: readonly DiskFault[] = []
  #acked = 0

  /** Records in publishes that were acked. */
  get acked(): number {
    return this.#acked
  }

  nowMs(): LedgerMs {
    return performance.now()
  }

  get diskFaults(): readonly DiskFault[] {
    return this.#diskFaults
  }

  /** This disk may have lost anything that it held until now. */
  diskFailed(disk: string): void {
    this.#diskFaults = [...this.#diskFaults, { disk, atMs: this.nowMs() }]
  }

  /** It has again all that it had: every byte of it was read since, and what was damaged came from elsewhere. */
  diskMended(disk: string): void {
    this.#diskFaults = this.#diskFaults.filter((fault) => fault.disk !== disk)
  }

  /** Sends these records of the writer to that peer. Never throws: what became of them is in the outcome. */
  async publish({ name, client }: LedgerPeer, plan: PublishPlan): Promise<Outcome> {
    const { writer, topic, firstSeq, count, level, wait, isRetry = false, key, sends, signal } = plan
    const records = Array.from({ length: count }, (_, i) => ({ value: valueOf(writer, firstSeq + i) }))
    const invokedAtMs = this.nowMs()
    const outcome = await this.#outcomeOf(
      client.publishMany(topic, records, {
        ack: level,
        wait,
        ...(key !== undefined && { idempotencyKey: key }),
        ...(signal && { signal }),
      }),
    )
    const request = {
      writer,
      topic,
      firstSeq,
      count,
      at: name,
      level,
      invokedAtMs,
      isRetry,
      isKeyed: key !== undefined || sends !== undefined,
    }
    this.publishes.push({ ...request, sends: sends?.() ?? 1, outcome })
    if (outcome.type === 'ok') this.#acked += count
    return outcome
  }

  async #outcomeOf(answer: ReturnType<Mesh['publishMany']>): Promise<Outcome> {
    try {
      const { ids, reached, peers, home } = await answer
      return { type: 'ok', atMs: this.nowMs(), runs: runsOf(ids), reached, copies: peers, home }
    } catch (error) {
      const code = error instanceof MeshError ? error.code : String(error)
      return { type: refusals.has(code) ? 'fail' : 'info', atMs: this.nowMs(), code }
    }
  }
}

/** The peer, or the client before it sent anything, has said that nothing of it was accepted. Anything else is `info`. */
const refusals: ReadonlySet<string> = new Set(['UNAVAILABLE', 'OVERLOADED', 'DRAINING', 'DISK_FULL', 'TOO_MANY_TOPICS'])

/** Ids are `<peerId>.<epoch>.<offset>`. */
export function runsOf(ids: readonly string[]): readonly Run[] {
  const runs: { feed: string; from: number; count: number }[] = []
  for (const id of ids) {
    const feed = id.slice(0, id.lastIndexOf('.'))
    const offset = Number(id.slice(feed.length + 1))
    const last = runs.at(-1)
    if (last?.feed === feed && offset === last.from + last.count) last.count++
    else runs.push({ feed, from: offset, count: 1 })
  }
  return runs
}

/** Everything that this peer serves of the topic, from the earliest record on. */
export async function readAt({ name, client }: LedgerPeer, topic: string, signal?: AbortSignal): Promise<ReadingLog> {
  const log = new ReadingLog(name, topic)
  for (let from = 'earliest'; ;) {
    const page = await client.read(topic, { from, limit: 1_000, ...(signal && { signal }) })
    log.page(page)
    if (page.upToDate) return log
    from = page.cursor
  }
}
