import { readBatchHeader } from '#protocol/log/batch'
import { feedKeyOf } from '#protocol/log/feed'
import { ceilingAheadMs, clockAheadMsMax, compareHlc } from '#protocol/log/hybrid-clock'
import type { Hlc } from '#protocol/log/hybrid-clock'
import type { BatchToStore } from '#storage/feed-store'
import type { FeedKey } from '#protocol/log/feed'
import { soundBatches } from '../sim-disk.ts'
import type { DiskFeed, SimDisk } from '../sim-disk.ts'
import type { SimPeer } from '../sim-peer.ts'
import type { Anomaly, Disks } from './anomaly.ts'

const blame = (detail: string): Anomaly => ({ checker: 'clocks', detail })

type Machine = Pick<SimPeer, 'id' | 'wallClock' | 'boots'>

/**
 * No clock drags another along: what a peer writes is dated at most 500 ms above the latest time that its own clock ever
 * showed. A restart goes on from a ceiling, so each may add what that lies ahead.
 */
export class ClockChecker {
  readonly #bounds = new Map<Machine, { boots: number; ms: number }>()

  appended(peer: Machine, batches: readonly BatchToStore[]): readonly Anomaly[] {
    const own = batches.filter(({ feed }) => feed.writer === peer.id)
    if (own.length === 0) return []
    const bound = this.#boundOf(peer)
    return own.flatMap(({ bytes }) => {
      const { ms } = hlcOf(bytes)
      if (ms <= bound) return []
      return [blame(`${peer.id} dates a batch ${(ms - bound).toFixed(0)} ms beyond what its clock allows`)]
    })
  }

  #boundOf(peer: Machine): number {
    const bound = this.#bounds.get(peer) ?? { boots: peer.boots, ms: 0 }
    // A counter that overflows goes on in the next millisecond.
    bound.ms = Math.max(
      bound.ms + (peer.boots - bound.boots) * (ceilingAheadMs + 1),
      peer.wallClock.highestMs + clockAheadMsMax + 1,
    )
    bound.boots = peer.boots
    this.#bounds.set(peer, bound)
    return bound.ms
  }
}

/**
 * The times of one writer rise, across its restarts and whatever its wall clock does: within a feed, and from a feed to the
 * one that goes on from it. A peer whose disk was damaged may have lost the ceiling.
 */
export function checkTimes(disks: Disks): readonly Anomaly[] {
  const seen = new Set<FeedKey>()
  return [...disks.values()].flatMap((disk) => {
    const unseen = [...disk.feeds.values()].filter(({ feed }) => !seen.has(feedKeyOf(feed)))
    for (const { feed } of unseen) seen.add(feedKeyOf(feed))
    return unseen.flatMap((stored) => timeFault(stored, disk, disks.get(stored.feed.writer)?.isDamaged === false) ?? [])
  })
}

function timeFault(stored: DiskFeed, disk: SimDisk, isCertain: boolean): Anomaly | undefined {
  const { feed, opening } = stored
  const times = soundBatches(stored).map(({ bytes }) => hlcOf(bytes))
  const link = opening.predecessor
  const before = link && disk.feeds.get(feedKeyOf({ ...feed, epoch: link.epoch }))
  const last = before && isCertain ? timeAt(before, link.nextOffset) : undefined
  const all = last === undefined ? times : [last, ...times]
  const back = all.findIndex((time, index) => index > 0 && compareHlc(time, all[index - 1] as Hlc) <= 0)
  if (back < 0) return undefined
  const [a, b] = [all[back - 1] as Hlc, all[back] as Hlc]
  return blame(`the time of ${feed.writer} goes from ${a.ms}.${a.counter} to ${b.ms}.${b.counter}`)
}

function timeAt(feed: DiskFeed, nextOffset: number): Hlc | undefined {
  const batch = soundBatches(feed).findLast(({ head }) => head.nextOffset === nextOffset)
  return batch && hlcOf(batch.bytes)
}

function hlcOf(bytes: Uint8Array): Hlc {
  const header = readBatchHeader(bytes)
  if (typeof header === 'string') throw new Error(`unreadable batch: ${header}`)
  return header.hlc
}
