import { assert } from '#protocol/assert'
import type { Digests } from '#protocol/digests'
import { MeshError } from '#protocol/errors'
import type { Brand, Epoch, TopicId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { base64urlOf, bytesOfBase64url, bytesOfHex, hexOf } from '#protocol/text'
import { ByteReader } from './byte-reader.ts'
import { ByteWriter } from './byte-writer.ts'
import { cursorBytes, cursorScheme } from './cursor-layout.ts'
import type { Hlc } from './hybrid-clock.ts'
import { vectorKeyOf, type WriterHash } from './version-vector.ts'

/** A reader's position in a topic, as a client keeps it (DESIGN §8). It is good at any peer. */
export interface CursorState {
  readonly topicId: TopicId
  /** Feeds that are not listed, and have no ancestor that is, start at their first batch above this time. */
  readonly sinceHlc: Hlc
  readonly entries: readonly CursorEntry[]
}

export interface CursorEntry {
  readonly writer: WriterHash
  readonly epoch: Epoch
  readonly nextOffset: number
  /**
   * First 4 bytes, as 8 hex characters, of the hash of the batch before the one that holds, or will hold, the record at
   * `nextOffset`: what that batch says as its `previousHash`. So a cursor of another history is told, not obeyed.
   */
  readonly hashPrefix: string
}

export type CursorFault = 'damaged' | 'otherTopic' | 'tooLarge'

/** The 28 bytes of an entry. */
export type EncodedEntry = Brand<Uint8Array, 'EncodedEntry'>

/** The text of a cursor: `gv1.` and base64url. Throws MeshError OVERLOADED beyond `limits.cursorEntriesMax` entries. */
export const encodeCursor = ({ topicId, sinceHlc, entries }: CursorState, digests: Digests): string =>
  new CursorFrame(
    { topicId, sinceHlc, others: entries.map((entry) => ({ encoded: encodeEntry(entry) })) },
    digests,
  ).at()

/** The state of a cursor of this topic, or what is wrong with the text; never throws. */
export function decodeCursor(text: string, topicId: TopicId, digests: Digests): CursorState | CursorFault {
  const state = parseCursor(text, digests)
  return typeof state === 'string' || state.topicId === topicId ? state : 'otherTopic'
}

export function parseCursor(text: string, digests: Digests): CursorState | CursorFault {
  if (text.length > limits.cursorTextMax) return 'tooLarge'
  const bytes = text.startsWith(cursorScheme) ? bytesOfBase64url(text.slice(cursorScheme.length)) : undefined
  const entryCount = bytes === undefined ? -1 : (bytes.length - headBytes - checksumBytes) / entryBytes
  if (bytes === undefined || entryCount < 0 || !Number.isInteger(entryCount)) return 'damaged'
  if (entryCount > limits.cursorEntriesMax) return 'tooLarge'
  const reader = new ByteReader(bytes)
  const topicId = hexOf(reader.take(16)) as TopicId
  const sinceHlc = { ms: reader.u48(), counter: reader.u16() }
  const entries = Array.from({ length: entryCount }, () => decodeEntry(reader))
  const checksum = reader.u32()
  if (reader.fault !== undefined || checksum !== digests.crc32(bytes.subarray(0, -checksumBytes))) return 'damaged'
  const feeds = new Set(entries.map(({ writer, epoch }) => vectorKeyOf(writer, epoch)))
  if (feeds.size !== entryCount) return 'damaged'
  return { topicId, sinceHlc, entries }
}

export function encodeEntry(entry: CursorEntry): EncodedEntry {
  return new ByteWriter(entryBytes)
    .put(hexBytes(entry.writer, 8))
    .put(hexBytes(entry.epoch, 8))
    .u64(entry.nextOffset)
    .put(hexBytes(entry.hashPrefix, 4))
    .finish() as Uint8Array as EncodedEntry
}

/**
 * Cursors that differ in their last entry only, as those after each record of a batch do: everything before it is
 * checksummed and turned into text once, at the first use.
 */
export class CursorFrame {
  readonly #state: FrameState
  readonly #digests: Digests
  #start: { readonly text: string; readonly rest: Uint8Array; readonly crc: number } | undefined

  constructor(state: FrameState, digests: Digests) {
    this.#state = state
    this.#digests = digests
  }

  /** The cursor with the other entries and this one. */
  at(moving?: CursorEntry): string {
    this.#start ??= this.#encodeStart(moving === undefined ? 0 : 1)
    const { text, rest, crc } = this.#start
    const entry = moving === undefined ? noBytes : encodeEntry(moving)
    const end = new ByteWriter(rest.length + entry.length + checksumBytes)
    end.put(rest).put(entry).u32(this.#digests.crc32(entry, crc))
    return text + base64urlOf(end.finish())
  }

  #encodeStart(movingCount: number) {
    const { topicId, sinceHlc, others } = this.#state
    if (others.length + movingCount > limits.cursorEntriesMax) {
      throw new MeshError('OVERLOADED', `A cursor has at most ${limits.cursorEntriesMax} entries.`)
    }
    const out = new ByteWriter(headBytes + others.length * entryBytes)
    out.put(hexBytes(topicId, 16)).u48(sinceHlc.ms).u16(sinceHlc.counter)
    for (const { encoded } of others) out.put(encoded)
    const bytes = out.finish()
    // Base64 works on groups of three bytes: what does not fill one is encoded with what follows.
    const whole = bytes.length - (bytes.length % 3)
    const text = cursorScheme + base64urlOf(bytes.subarray(0, whole))
    return { text, rest: bytes.subarray(whole), crc: this.#digests.crc32(bytes) }
  }
}

export interface FrameState extends Omit<CursorState, 'entries'> {
  readonly others: readonly { readonly encoded: EncodedEntry }[]
}

const { head: headBytes, entry: entryBytes, checksum: checksumBytes } = cursorBytes
const noBytes = new Uint8Array(0)

// The longest cursor that we make is one that we take.
assert(
  cursorScheme.length + Math.ceil(((headBytes + limits.cursorEntriesMax * entryBytes + checksumBytes) * 4) / 3) <=
    limits.cursorTextMax,
  'a cursor with cursorEntriesMax entries fits into cursorTextMax',
)

function decodeEntry(reader: ByteReader): CursorEntry {
  const writer = hexOf(reader.take(8)) as WriterHash
  const epoch = hexOf(reader.take(8)) as Epoch
  return { writer, epoch, nextOffset: reader.u64(), hashPrefix: hexOf(reader.take(4)) }
}

function hexBytes(hex: string, length: number): Uint8Array {
  const bytes = bytesOfHex(hex)
  assert(bytes?.length === length, `this field has ${length} bytes`)
  return bytes
}
