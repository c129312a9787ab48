import type { PeerId } from '#protocol/ids'
import type { FeedKey } from '#protocol/log/feed'
import { readBatchHeader, recordsOf } from '#protocol/log/batch'
import { textOf } from '#protocol/text'
import type { DiskFeed, SimDisk } from '../sim-disk.ts'

/** A promise that was broken, in words for whoever has to find out why. */
export interface Anomaly {
  readonly checker: string
  readonly detail: string
}

export type Disks = ReadonlyMap<PeerId, SimDisk>

/** Values of the simulated workload are short names, followed by padding. */
export const valueName = (value: Uint8Array): string => (textOf(value) ?? '?').split(' ', 1)[0] as string

/** What a feed holds on one disk: the name of each record's value by its offset. Damaged batches throw. */
export function valuesOf(feed: DiskFeed | undefined): ReadonlyMap<number, string> {
  const values = new Map<number, string>()
  for (const { bytes } of feed?.batches ?? []) {
    const header = readBatchHeader(bytes)
    if (typeof header === 'string') throw new Error(`unreadable batch: ${header}`)
    if (header.opening) continue
    const records = recordsOf(bytes, header)
    if (typeof records === 'string') throw new Error(`unreadable records: ${records}`)
    records.forEach(({ value }, index) => values.set(header.baseOffset + index, valueName(value)))
  }
  return values
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
      values = valuesOf(this.#disk.feeds.get(feed))
      this.#feeds.set(feed, values)
    }
    return values.get(offset)
  }
}
