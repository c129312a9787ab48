import { statfs } from 'node:fs/promises'
import type { Millis } from '#protocol/machine'
import type { DiskView } from '#protocol/views'
import { reserveBytes } from '#storage/disk-reserve'
import type { Clock } from './driver-ports.ts'

/** Where a data directory is. */
export interface Space {
  readonly totalBytes: number
  readonly freeBytes: number
}

export interface DiskSpaceDeps {
  /** Asks the system; undefined when it does not know. */
  readonly space: () => Promise<Space | undefined>
  readonly clock: Pick<Clock, 'after'>
  /** Bytes that were accepted and are not on disk yet. */
  readonly pendingBytes: () => number
  readonly onChange: (full: boolean) => void
  /** Called at most once a minute while the disk is full: what was deleted still takes room. */
  readonly reclaim: () => Promise<void>
}

const pollMs: Millis = 1_000
const looksPerReclaim = 60
/** A byte is in the log of the database until it is in a table. */
const writesPerByte = 2
/**
 * It counts as full until there is so much more than the reserve, at so many looks in a row: what a compaction needs comes
 * and goes, and publishers are not helped by seconds.
 */
const roomAgain = 1.25
const looksWithRoomMin = 3

/**
 * Is there room for records? Asked once a second, and worked out in between from what is written: a fast disk takes half a
 * gigabyte in that time. Full long before the disk is: see `reserveBytes`.
 */
export class DiskSpace {
  readonly #deps: DiskSpaceDeps
  #space: Space | undefined
  #writtenBytes = 0
  #looksFull = 0
  #looksWithRoom = 0
  #isFull = false
  #stopped = false

  constructor(deps: DiskSpaceDeps) {
    this.#deps = deps
  }

  get isFull(): boolean {
    return this.#isFull
  }

  /** As it was last looked at; undefined where the system does not say. */
  get view(): DiskView | undefined {
    if (this.#space === undefined) return undefined
    return { ...this.#space, reserveBytes: reserveBytes(this.#space.totalBytes), full: this.#isFull }
  }

  /** Resolves after the first look. */
  async start(): Promise<void> {
    await this.#look()
    if (!this.#stopped) this.#deps.clock.after(pollMs, () => void this.start())
  }

  stop(): void {
    this.#stopped = true
  }

  committed(bytes: number): void {
    this.#writtenBytes += bytes
    this.#judge()
  }

  async #look(): Promise<void> {
    const writtenBefore = this.#writtenBytes
    const space = await this.#deps.space()
    if (this.#stopped) return
    this.#space = space
    this.#writtenBytes -= writtenBefore
    this.#looksWithRoom = this.#hasRoom(roomAgain) ? this.#looksWithRoom + 1 : 0
    this.#judge()
    if (!this.#isFull) this.#looksFull = 0
    else if (this.#looksFull++ % looksPerReclaim === 0) await this.#deps.reclaim()
  }

  #judge(): void {
    const full = this.#isFull ? this.#looksWithRoom < looksWithRoomMin : !this.#hasRoom(1)
    if (full === this.#isFull) return
    this.#isFull = full
    this.#deps.onChange(full)
  }

  #hasRoom(reserves: number): boolean {
    if (this.#space === undefined) return !this.#isFull
    const { totalBytes, freeBytes } = this.#space
    const stillToWrite = writesPerByte * (this.#writtenBytes + this.#deps.pendingBytes())
    return freeBytes - stillToWrite >= reserves * reserveBytes(totalBytes)
  }
}

/** Undefined when the system does not say: a directory that is gone is for the store to tell. */
export async function spaceAt(path: string): Promise<Space | undefined> {
  const found = await statfs(path).catch(() => undefined)
  return found && { totalBytes: found.blocks * found.bsize, freeBytes: found.bavail * found.bsize }
}
