import type { Space } from '#node/disk-space'
import { nodeDigests } from '#node/node-digests'
import { assert } from '#protocol/assert'
import { feedKeyOf } from '#protocol/log/feed'
import type { FeedId } from '#protocol/log/feed'
import type { BatchToStore, FeedRead, FeedStore, StoreChange, StoredFeed } from '#storage/feed-store'
import { readMemory } from '#storage/memory-reading'
import type { Dice } from './dice.ts'
import type { Life } from './life.ts'
import type { Scheduler } from './scheduler.ts'
import type { SimDisk } from './sim-disk.ts'

export interface StoreOptions {
  readonly fsyncMsMin: number
  readonly fsyncMsMax: number
}

interface Append {
  readonly batches: readonly BatchToStore[]
  readonly changes: readonly StoreChange[]
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
  readonly #onAppend: (batches: readonly BatchToStore[], changes: readonly StoreChange[]) => void
  #underWay: Append | undefined

  constructor(deps: {
    readonly disk: SimDisk
    readonly scheduler: Scheduler
    readonly life: Life
    readonly dice: Dice
    readonly options: StoreOptions
    readonly onAppend: (batches: readonly BatchToStore[], changes: readonly StoreChange[]) => void
  }) {
    this.#disk = deps.disk
    this.#scheduler = deps.scheduler
    this.#life = deps.life
    this.#dice = deps.dice
    this.#options = deps.options
    this.#onAppend = deps.onAppend
  }

  feeds(): Promise<readonly StoredFeed[]> {
    return this.#answer(() => Array.from(this.#disk.feeds.values(), ({ state }) => state))
  }

  append(batches: readonly BatchToStore[], changes: readonly StoreChange[] = []): Promise<void> {
    assert(this.#underWay === undefined, 'one append at a time')
    this.#onAppend(batches, changes)
    const append = { batches, changes }
    this.#underWay = append
    return new Promise((resolve, reject) => {
      this.#after(this.#dice.between(this.#options.fsyncMsMin, this.#options.fsyncMsMax), () => {
        if (this.#underWay !== append) return
        if (this.#disk.failsNext) return this.#fail(reject)
        this.#write()
        this.#life.do(resolve)
      })
    })
  }

  read(feed: FeedId, position: number, bytesMax: number): Promise<FeedRead> {
    return this.#answer(() => {
      const stored = this.#disk.feeds.get(feedKeyOf(feed))
      return stored === undefined ? { batches: [] } : readMemory(stored, position, bytesMax, nodeDigests)
    })
  }

  getMeta(key: string): Promise<Uint8Array | undefined> {
    return this.#answer(() => this.#disk.meta.get(key)?.slice())
  }

  space(): Promise<Space> {
    return this.#answer(() => this.#disk.space())
  }

  close(): Promise<void> {
    return this.#answer(() => assert(this.#underWay === undefined, 'closed after the last append'))
  }

  /** The process is gone: an append under way reached the disk, or did not. */
  crash(): void {
    if (this.#underWay !== undefined && this.#dice.chance(0.5)) this.#write()
    this.#underWay = undefined
  }

  /** EIO: the kernel may have written the pages or dropped them, and nobody will know before the next start. */
  #fail(reject: (error: Error) => void): void {
    this.#disk.failsNext = false
    if (this.#dice.chance(0.3)) this.#write()
    this.#underWay = undefined
    this.#life.do(() => reject(new Error('EIO: fsync')))
  }

  #after(takesMs: number, done: () => void): void {
    const { slow } = this.#disk
    const { nowMs } = this.#scheduler
    const isSlow = slow !== undefined && nowMs < slow.untilMs
    this.#scheduler.at(isSlow ? Math.min(nowMs + takesMs * slow.factor, slow.untilMs + takesMs) : nowMs + takesMs, done)
  }

  #write(): void {
    const { batches, changes } = this.#underWay as Append
    this.#underWay = undefined
    this.#disk.apply(batches, changes, this.#scheduler.nowMs)
  }

  #answer<T>(look: () => T): Promise<T> {
    return new Promise((resolve) => {
      this.#after(this.#dice.between(0.01, 0.5), () => this.#life.do(() => resolve(look())))
    })
  }
}
