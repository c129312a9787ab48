import { assert } from '#protocol/assert'
import { feedKeyOf } from '#protocol/log/feed'
import type { FeedId } from '#protocol/log/feed'
import type { BatchToStore, FeedStore, MetaChange, StoredFeed } from '#storage/feed-store'
import type { Dice } from './dice.ts'
import type { Life } from './life.ts'
import type { Scheduler } from './scheduler.ts'
import type { DiskFeed, SimDisk } from './sim-disk.ts'

export interface StoreOptions {
  readonly fsyncMsMin: number
  readonly fsyncMsMax: number
}

interface Append {
  readonly batches: readonly BatchToStore[]
  readonly meta: readonly MetaChange[]
}

/**
 * The store of one process, on the disk of its machine. An append is on disk at some moment before it is confirmed; a
 * crash in between leaves it wholly there or wholly not.
 */
export class SimStore implements FeedStore {
  readonly #disk: SimDisk
  readonly #scheduler: Scheduler
  readonly #life: Life
  readonly #dice: Dice
  readonly #options: StoreOptions
  readonly #hlcMsOf: (batch: Uint8Array) => number
  #underWay: Append | undefined

  constructor(deps: {
    readonly disk: SimDisk
    readonly scheduler: Scheduler
    readonly life: Life
    readonly dice: Dice
    readonly options: StoreOptions
    readonly hlcMsOf: (batch: Uint8Array) => number
  }) {
    this.#disk = deps.disk
    this.#scheduler = deps.scheduler
    this.#life = deps.life
    this.#dice = deps.dice
    this.#options = deps.options
    this.#hlcMsOf = deps.hlcMsOf
  }

  feeds(): Promise<readonly StoredFeed[]> {
    return this.#answer(() => [...this.#disk.feeds.values()].map((stored) => this.#described(stored)))
  }

  append(batches: readonly BatchToStore[], meta: readonly MetaChange[] = []): Promise<void> {
    assert(this.#underWay === undefined, 'one append at a time')
    const append = { batches, meta }
    this.#underWay = append
    return new Promise((resolve) => {
      this.#scheduler.after(this.#dice.between(this.#options.fsyncMsMin, this.#options.fsyncMsMax), () => {
        if (this.#underWay !== append) return
        this.#write()
        this.#life.do(resolve)
      })
    })
  }

  read(feed: FeedId, position: number, bytesMax: number): Promise<readonly Uint8Array[]> {
    return this.#answer(() => {
      const batches = this.#disk.feeds.get(feedKeyOf(feed))?.batches ?? []
      const found: Uint8Array[] = []
      let bytes = 0
      for (const batch of batches) {
        if (batch.head.nextOffset <= position) continue
        bytes += batch.bytes.length
        if (found.length > 0 && bytes > bytesMax) break
        found.push(batch.bytes)
      }
      return found
    })
  }

  trim(): Promise<void> {
    throw new Error('nothing is trimmed before retention exists')
  }

  getMeta(key: string): Promise<Uint8Array | undefined> {
    return this.#answer(() => this.#disk.meta.get(key)?.slice())
  }

  close(): Promise<void> {
    return this.#answer(() => assert(this.#underWay === undefined, 'closed after the last append'))
  }

  /** The process is gone: an append under way reached the disk, or did not. */
  crash(): void {
    if (this.#underWay !== undefined && this.#dice.chance(0.5)) this.#write()
    this.#underWay = undefined
  }

  #write(): void {
    const { batches, meta } = this.#underWay as Append
    this.#underWay = undefined
    this.#disk.apply(batches, meta)
  }

  #answer<T>(look: () => T): Promise<T> {
    return new Promise((resolve) => {
      this.#scheduler.after(this.#dice.between(0.01, 0.5), () => this.#life.do(() => resolve(look())))
    })
  }

  #described({ feed, opening, batches }: DiskFeed): StoredFeed {
    const last = batches.at(-1)
    assert(last !== undefined, 'a feed on disk has its opening batch')
    return {
      feed,
      opening,
      head: last.head,
      keptFrom: opening.predecessor?.nextOffset ?? 0,
      hlcMs: this.#hlcMsOf(last.bytes),
    }
  }
}
