import type { Head, OffsetRange } from '#protocol/log/feed'
import { bytesOfHex, hexOf, utf8 } from '#protocol/text'
import { ByteReader } from '#protocol/log/byte-reader'
import { ByteWriter } from '#protocol/log/byte-writer'
import type { Hash } from '#protocol/ids'
import type { StoredFeed } from './feed-store.ts'
import { assert } from '#protocol/assert'
import { crc32 } from 'node:zlib'

// Keys and values of the level store; README.md shows each in hex. Big-endian, so that keys sort as numbers do.

const kind = {
  batch: 0x62,
  directory: 0x64,
  bounds: 0x66,
  heads: 0x68,
  meta: 0x6d,
  snapshot: 0x73,
  deletion: 0x78,
} as const

/** Number of a feed in this store: four bytes in each key instead of the 100 of a FeedId. */
export type FeedNumber = number

export interface KeyRange {
  readonly gte: Uint8Array
  readonly lte?: Uint8Array
  readonly lt?: Uint8Array
}

/**
 * `'b' · feed u32 · end u64 · crc32 u32`; `end` is the offset after the last record, so an opening batch is at its
 * baseOffset. The checksum is of the key before it: a batch does not say to which feed it belongs, and LevelDB would show
 * one whose key is damaged as that of another.
 */
export function batchKey(feed: FeedNumber, end: number): Uint8Array {
  const place = placeOfBatch(feed, end)
  return new ByteWriter(17).put(place).u32(crc32(place)).finish()
}

/** The end of a batch of that feed; undefined when its key is damaged. */
export function endOfBatchKey(feed: FeedNumber, key: Uint8Array): number | undefined {
  const reader = new ByteReader(key, 1)
  const [number, end, check] = [reader.u32(), reader.u64(), reader.u32()]
  const isSound = reader.fault === undefined && number === feed && check === crc32(key.subarray(0, 13))
  return isSound ? end : undefined
}

/** Batches of a feed with `from <= end <= to`. */
export const batchRange = (
  feed: FeedNumber,
  from: number,
  to: number,
): { readonly gte: Uint8Array; readonly lte: Uint8Array } => ({
  gte: placeOfBatch(feed, from),
  lte: new ByteWriter(17).put(placeOfBatch(feed, to)).u32(0xffff_ffff).finish(),
})

/** The batches of all feeds. */
export const batchesRange: KeyRange = { gte: Uint8Array.of(kind.batch), lt: Uint8Array.of(kind.batch + 1) }

/** `'d' · feed u32` → who the feed is: its opening batch once more, sealed. */
export const directoryKey = (feed: FeedNumber): Uint8Array => feedNumberKey(kind.directory, feed)
export const directoryRange = feedNumberRange(kind.directory)

/** `'f' · feed u32` → its floor and what of it is kept, once that is not all of it. */
export const boundsKey = (feed: FeedNumber): Uint8Array => feedNumberKey(kind.bounds, feed)
export const boundsRange = feedNumberRange(kind.bounds)

/** `'x' · feed u32` → which of its batches are still to be deleted. */
export const deletionKey = (feed: FeedNumber): Uint8Array => feedNumberKey(kind.deletion, feed)
export const deletionRange = feedNumberRange(kind.deletion)

export const feedNumberOf = (key: Uint8Array): FeedNumber => new ByteReader(key, 1).u32()

/** `'h' · append u64` → the new heads of that append. */
export const headsKey = (append: number): Uint8Array => new ByteWriter(9).u8(kind.heads).u64(append).finish()
/** Heads of the appends with `from <= append <= to`. */
export const headsRange = (from: number, to: number): KeyRange => ({ gte: headsKey(from), lte: headsKey(to) })

/** `'s'` → the heads of all feeds after some append. */
export const snapshotKey = Uint8Array.of(kind.snapshot)

export const metaRange: KeyRange = { gte: Uint8Array.of(kind.meta), lt: Uint8Array.of(kind.meta + 1) }

/** `'m' · text` → bytes of the caller. */
export function metaKey(text: string): Uint8Array {
  const bytes = utf8(text)
  return new ByteWriter(1 + bytes.length).u8(kind.meta).put(bytes).finish()
}

/**
 * `crc32 u32 · value`, the checksum being of key and value: LevelDB does not check its own on reads, and a floor must not
 * become that of another feed because a bit of its key has flipped.
 */
export const sealed = (key: Uint8Array, value: Uint8Array): Uint8Array =>
  new ByteWriter(4 + value.length)
    .u32(crc32(value, crc32(key)))
    .put(value)
    .finish()

/** The value, or undefined when it or its key is damaged. */
export function unsealed(key: Uint8Array, bytes: Uint8Array): Uint8Array | undefined {
  const reader = new ByteReader(bytes)
  const checksum = reader.u32()
  const value = bytes.subarray(4)
  return reader.fault === undefined && checksum === crc32(value, crc32(key)) ? value : undefined
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

/** What of a feed is kept. */
export type FeedBounds = Pick<StoredFeed, 'floor' | 'keptFrom' | 'holes' | 'rooted'>

/** `floor: nextOffset u64, hash 32 B · keptFrom u64 · rooted u8 · holes: from u64, to u64 …` */
export function encodeBounds({ floor, keptFrom, holes, rooted }: FeedBounds): Uint8Array {
  const writer = new ByteWriter(49 + holes.length * 16)
  writer
    .u64(floor.nextOffset)
    .put(bytesOfHash(floor.hash))
    .u64(keptFrom)
    .u8(rooted ? 1 : 0)
  for (const { from, to } of holes) writer.u64(from).u64(to)
  return writer.finish()
}

export function decodeBounds(bytes: Uint8Array): FeedBounds {
  const reader = new ByteReader(bytes)
  const floor = { nextOffset: reader.u64(), hash: hexOf(reader.take(32)) as Hash }
  const [keptFrom, rooted] = [reader.u64(), reader.u8() === 1]
  const holes: OffsetRange[] = []
  while (reader.at < bytes.length && reader.fault === undefined) holes.push({ from: reader.u64(), to: reader.u64() })
  assert(reader.fault === undefined, 'bounds with a good checksum are whole')
  return { floor, keptFrom, holes, rooted }
}

/** `from u64 · to u64`: batches with `from <= end <= to`. */
export const encodeDeletion = ({ from, to }: OffsetRange): Uint8Array => new ByteWriter(16).u64(from).u64(to).finish()

export function decodeDeletion(bytes: Uint8Array): OffsetRange {
  const reader = new ByteReader(bytes)
  return { from: reader.u64(), to: reader.u64() }
}

const placeOfBatch = (feed: FeedNumber, end: number): Uint8Array =>
  new ByteWriter(13).u8(kind.batch).u32(feed).u64(end).finish()

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
