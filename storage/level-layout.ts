import type { FeedId, Head, Opening } from '#protocol/log/feed'
import { bytesOfHex, hexOf, textOf, utf8 } from '#protocol/text'
import { ByteReader } from '#protocol/log/byte-reader'
import { ByteWriter } from '#protocol/log/byte-writer'
import type { Digests } from '#protocol/digests'
import type { Hash } from '#protocol/ids'
import { assert } from '#protocol/assert'
import { parseFeedKey } from '#protocol/log/feed'

// Keys and values of the level store; README.md shows each in hex. Big-endian, so that keys sort as numbers do.

const kind = { batch: 0x62, directory: 0x64, floor: 0x66, heads: 0x68, meta: 0x6d, snapshot: 0x73 } as const

/** Number of a feed in this store: four bytes in each key instead of the 100 of a FeedId. */
export type FeedNumber = number

export interface KeyRange {
  readonly gte: Uint8Array
  readonly lte: Uint8Array
}

/** `'b' · feed u32 · end u64`; `end` is the offset after the last record, so an opening batch is at its baseOffset. */
export const batchKey = (feed: FeedNumber, end: number): Uint8Array =>
  new ByteWriter(13).u8(kind.batch).u32(feed).u64(end).finish()

export const endOfBatchKey = (key: Uint8Array): number => new ByteReader(key, 5).u64()

/** Batches of a feed with `from <= end <= to`. */
export const batchRange = (feed: FeedNumber, from: number, to: number): KeyRange => ({
  gte: batchKey(feed, from),
  lte: batchKey(feed, to),
})

/** `'d' · feed u32` → who the feed is. */
export const directoryKey = (feed: FeedNumber): Uint8Array => feedNumberKey(kind.directory, feed)
export const directoryRange = feedNumberRange(kind.directory)

/** `'f' · feed u32` → its floor, once it was trimmed. */
export const floorKey = (feed: FeedNumber): Uint8Array => feedNumberKey(kind.floor, feed)
export const floorRange = feedNumberRange(kind.floor)

export const feedNumberOf = (key: Uint8Array): FeedNumber => new ByteReader(key, 1).u32()

/** `'h' · append u64` → the new heads of that append. */
export const headsKey = (append: number): Uint8Array => new ByteWriter(9).u8(kind.heads).u64(append).finish()
/** Heads of the appends with `from <= append <= to`. */
export const headsRange = (from: number, to: number): KeyRange => ({ gte: headsKey(from), lte: headsKey(to) })
export const appendOfHeadsKey = (key: Uint8Array): number => new ByteReader(key, 1).u64()

/** `'s'` → the heads of all feeds after some append. */
export const snapshotKey = Uint8Array.of(kind.snapshot)

/** `'m' · text` → bytes of the caller. */
export function metaKey(text: string): Uint8Array {
  const bytes = utf8(text)
  return new ByteWriter(1 + bytes.length).u8(kind.meta).put(bytes).finish()
}

/** `crc32 u32 · value`: LevelDB does not check its own checksums on reads, and small values have no batch around them. */
export const sealed = (value: Uint8Array, digests: Digests): Uint8Array =>
  new ByteWriter(4 + value.length).u32(digests.crc32(value)).put(value).finish()

/** The value, or undefined when it is damaged. */
export function unsealed(bytes: Uint8Array, digests: Digests): Uint8Array | undefined {
  const reader = new ByteReader(bytes)
  const crc32 = reader.u32()
  const value = bytes.subarray(4)
  return reader.fault === undefined && crc32 === digests.crc32(value) ? value : undefined
}

/** A feed's head as stored: `feed u32 · nextOffset u64 · hlcMs u48 · hash 32 B`. */
export interface HeadEntry {
  readonly feed: FeedNumber
  readonly head: Head
  readonly hlcMs: number
}

export const headEntryBytes = 50

/** `append u64`, then the entries. In a snapshot, `append` is the last one that it covers. */
export function encodeHeads(append: number, entries: readonly HeadEntry[]): Uint8Array {
  const writer = new ByteWriter(8 + entries.length * headEntryBytes).u64(append)
  for (const { feed, head, hlcMs } of entries) {
    writer.u32(feed).u64(head.nextOffset).u48(hlcMs).put(bytesOfHash(head.hash))
  }
  return writer.finish()
}

export function decodeHeads(bytes: Uint8Array): { readonly append: number; readonly entries: readonly HeadEntry[] } {
  const reader = new ByteReader(bytes)
  const append = reader.u64()
  const entries: HeadEntry[] = []
  while (reader.at < bytes.length && reader.fault === undefined) {
    const [feed, nextOffset, hlcMs] = [reader.u32(), reader.u64(), reader.u48()]
    entries.push({ feed, head: { nextOffset, hash: hexOf(reader.take(32)) as Hash }, hlcMs })
  }
  assert(reader.fault === undefined, 'heads with a good checksum are whole')
  return { append, entries }
}

/** JSON: read once per feed and start, and by people who look for what they have lost. */
export const encodeDirectoryEntry = ({ topicId }: FeedId, opening: Opening): Uint8Array =>
  utf8(JSON.stringify({ topicId, ...opening }))

export function decodeDirectoryEntry(bytes: Uint8Array): { readonly feed: FeedId; readonly opening: Opening } {
  const { topicId, ...opening } = JSON.parse(textOf(bytes) ?? '') as { readonly topicId: string } & Opening
  const feed = parseFeedKey(`${topicId}/${opening.writer}/${opening.epoch}`)
  assert(feed !== undefined, 'a directory entry with a good checksum names a feed')
  return { feed, opening }
}

export const encodeFloor = (floor: number): Uint8Array => new ByteWriter(8).u64(floor).finish()
export const decodeFloor = (bytes: Uint8Array): number => new ByteReader(bytes).u64()

function feedNumberKey(first: number, feed: FeedNumber): Uint8Array {
  return new ByteWriter(5).u8(first).u32(feed).finish()
}

function feedNumberRange(first: number): KeyRange {
  return { gte: feedNumberKey(first, 0), lte: feedNumberKey(first, 0xffff_ffff) }
}

function bytesOfHash(hash: Hash): Uint8Array {
  const bytes = bytesOfHex(hash)
  assert(bytes?.length === 32, 'a hash has 32 bytes')
  return bytes
}
