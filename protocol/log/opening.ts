import type { Epoch, Hash } from '#protocol/ids'
import { parsePeerId } from '#protocol/ids'
import { bytesOfHex, hexOf, textOf, utf8 } from '#protocol/text'
import { parseAnyTopicName } from '#protocol/topic-name'
import { assert } from '#protocol/assert'
import { ByteReader } from './byte-reader.ts'
import { ByteWriter } from './byte-writer.ts'
import type { Opening, Predecessor } from './feed.ts'

const predecessorBytes = 8 + 8 + 32

/** The opening data: what the opening batch of a feed holds in place of records. Its SHA-256 starts the feed's chain. */
export function encodeOpening(opening: Opening): Uint8Array {
  const topic = utf8(opening.topic)
  const writer = utf8(opening.writer)
  const { predecessor } = opening
  const out = new ByteWriter(1 + topic.length + 4 + 1 + writer.length + 8 + 1 + (predecessor ? predecessorBytes : 0))
  out.u8(topic.length).put(topic).u32(opening.generation).u8(writer.length).put(writer)
  out.put(hexBytes(opening.epoch)).u8(predecessor ? 1 : 0)
  if (predecessor) out.put(hexBytes(predecessor.epoch)).u64(predecessor.nextOffset).put(hexBytes(predecessor.hash))
  return out.finish()
}

/** The opening that `bytes` consists of, or undefined when they are not one. */
export function decodeOpening(bytes: Uint8Array): Opening | undefined {
  const reader = new ByteReader(bytes)
  const topic = parseAnyTopicName(textOf(reader.take(reader.u8())))
  const generation = reader.u32()
  const writer = parsePeerId(textOf(reader.take(reader.u8())))
  const epoch = hexOf(reader.take(8)) as Epoch
  const hasPredecessor = reader.u8()
  const predecessor = hasPredecessor === 1 ? decodePredecessor(reader) : undefined
  if (reader.fault !== undefined || reader.at !== bytes.length || hasPredecessor > 1) return undefined
  if (topic === undefined || writer === undefined || predecessor?.epoch === epoch) return undefined
  return { topic, generation, writer, epoch, ...(predecessor && { predecessor }) }
}

function decodePredecessor(reader: ByteReader): Predecessor {
  const epoch = hexOf(reader.take(8)) as Epoch
  const nextOffset = reader.u64()
  return { epoch, nextOffset, hash: hexOf(reader.take(32)) as Hash }
}

function hexBytes(hex: Epoch | Hash): Uint8Array {
  const bytes = bytesOfHex(hex)
  assert(bytes !== undefined, 'epochs and hashes are hex')
  return bytes
}
