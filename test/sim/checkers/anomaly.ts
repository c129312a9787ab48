import type { PeerId } from '#protocol/ids'
import type { FeedKey } from '#protocol/log/feed'
import { readBatchHeader, recordsOf } from '#protocol/log/batch'
import { textOf } from '#protocol/text'
import { soundBatches } from '../sim-disk.ts'
import type { DiskFeed, SimDisk } from '../sim-disk.ts'

/** A promise that was broken, in words for whoever has to find out why. */
export interface Anomaly {
  readonly checker: string
  readonly detail: string
}

export type Disks = ReadonlyMap<PeerId, SimDisk>

const nameBytesMax = 16

/** Values of the simulated workload are short names, followed by padding. */
export const valueName = (value: Uint8Array): string =>
  (textOf(value.subarray(0, nameBytesMax)) ?? '?').split(' ', 1)[0] as string

export interface DiskRecord {
  readonly offset: number
  /** The name of its value. */
  readonly value: string
  readonly hlcMs: number
}

/** What a feed holds on one disk, in order, less what is damaged. */
export function* recordsIn(feed: DiskFeed | undefined): Generator<DiskRecord> {
  for (const { bytes } of feed === undefined ? [] : soundBatches(feed)) {
    const header = readBatchHeader(bytes)
    if (typeof header === 'string') throw new Error(`unreadable batch: ${header}`)
    if (header.opening) continue
    const records = recordsOf(bytes, header)
    if (typeof records === 'string') throw new Error(`unreadable records: ${records}`)
    for (const [index, { value }] of records.entries()) {
      yield { offset: header.baseOffset + index, value: valueName(value), hlcMs: header.hlc.ms }
    }
  }
}

/** Decodes each feed of a disk once, when it is first asked for. */
export class DiskValues {
  readonly #disk: SimDisk
  readonly #feeds = new Map<FeedKey, ReadonlyMap<number, string>>()

  constructor(disk: SimDisk) {
    this.#disk = disk
  }

  at(feed: FeedKey, offset: number): string | undefined {
    let values = this.#feeds.get(feed)
    if (values === undefined) {
      values = new Map([...recordsIn(this.#disk.feeds.get(feed))].map(({ offset, value }) => [offset, value]))
      this.#feeds.set(feed, values)
    }
    return values.get(offset)
  }
}
