import type { Digests } from '#protocol/digests'
import type { Hash } from '#protocol/ids'
import { batchHash, readBatchHeader } from '#protocol/log/batch'
import { type FeedId, NOTHING, type OffsetRange } from '#protocol/log/feed'
import type { Millis } from '#protocol/machine'
import type { FeedStore } from '#storage/feed-store'
import type { Clock } from './driver-ports.ts'

export interface ScrubConfig {
  /** Read so much of the disk at most. Higher: damage is found sooner, and others wait more for the disk. */
  readonly bytesPerSecond: number
  /** From the end of one pass over all feeds to the beginning of the next. */
  readonly pauseMs: Millis
}

/** A gigabyte in two minutes, at a few per cent of what an SSD reads; what is rotten is known within a day. */
export const scrubDefaults: ScrubConfig = { bytesPerSecond: 8 * 1024 * 1024, pauseMs: 24 * 3_600_000 }

export interface ScrubDeps {
  readonly store: Pick<FeedStore, 'read'>
  /** The feeds to look at, when a pass begins. */
  readonly feeds: () => Iterable<FeedId>
  readonly clock: Pick<Clock, 'after'>
  readonly digests: Digests
  /** A range that is damaged or missing, at each look: a hole that is known already, too. */
  readonly onDamage: (feed: FeedId, range: OffsetRange) => void
}

/** What a look at one feed found. */
export interface Verified {
  readonly damaged: readonly OffsetRange[]
  /** How far it looked; below the offset that was asked for, the feed ends here. */
  readonly nextOffset: number
  /** The chain hash there; undefined when nothing sound lies right before it. */
  readonly hash: Hash | undefined
}

/** What is read at a time. */
const readBytesMax = 1024 * 1024

/**
 * Reads all feeds through their checksums and hash chains, slowly and for ever, so that damage is found while others still
 * hold what it hit (Bairavasundaram et al., FAST 2008: most latent errors are found by scrubbing). A look at one feed can
 * be had at once.
 */
export class Scrub {
  readonly #config: ScrubConfig
  readonly #deps: ScrubDeps
  #stopped = false
  /** Passes since the start, and bytes of sound batches read by them and on demand. */
  passes = 0
  bytes = 0

  constructor(config: ScrubConfig, deps: ScrubDeps) {
    this.#config = config
    this.#deps = deps
  }

  /** Begins the first pass; ends with `stop`. Rejects when the store does, as when it is closed. */
  async run(): Promise<void> {
    while (!this.#stopped) {
      for (const feed of this.#deps.feeds()) await this.verify(feed, Number.MAX_SAFE_INTEGER)
      this.passes += 1
      await this.#wait(this.#config.pauseMs)
    }
  }

  stop(): void {
    this.#stopped = true
  }

  /** Reads a feed from its beginning to `to`, or to its end, at the same rate as a pass. Tells of damage as that does. */
  async verify(feed: FeedId, to: number): Promise<Verified> {
    const damaged: OffsetRange[] = []
    let at: Place = { position: NOTHING, hash: undefined }
    while (at.position < to && !this.#stopped) {
      const read = await this.#deps.store.read(feed, at.position, readBytesMax)
      const followed = this.#follow(read.batches, at, to)
      const range = followed.broken ?? (followed.position < to ? read.damaged : undefined)
      const next = range === undefined ? followed : { position: range.to, hash: undefined }
      if (range !== undefined) {
        damaged.push(range)
        this.#deps.onDamage(feed, range)
      }
      if (next.position <= at.position) break
      at = next
      this.bytes += followed.bytes
      await this.#wait((followed.bytes / this.#config.bytesPerSecond) * 1_000)
    }
    return { damaged, nextOffset: at.position, hash: at.hash }
  }

  /** Each batch names the hash of the one before it, if that is known. `broken`: the batch that does not. */
  #follow(batches: readonly Uint8Array[], from: Place, to: number): Followed {
    let { position, hash } = from
    let bytes = 0
    for (const batch of batches) {
      const header = readBatchHeader(batch)
      if (typeof header === 'string' || position >= to) break
      const { baseOffset, nextOffset, previousHash } = header
      const goesOn = hash !== undefined && baseOffset === position
      if (goesOn && previousHash !== hash)
        return { position, hash, bytes, broken: { from: baseOffset, to: nextOffset } }
      position = nextOffset
      hash = batchHash(batch, this.#deps.digests)
      bytes += batch.length
    }
    return { position, hash, bytes }
  }

  #wait(ms: Millis): Promise<void> {
    return new Promise((resolve) => {
      this.#deps.clock.after(ms, resolve)
    })
  }
}

interface Place {
  readonly position: number
  readonly hash: Hash | undefined
}

interface Followed extends Place {
  readonly bytes: number
  readonly broken?: OffsetRange
}
