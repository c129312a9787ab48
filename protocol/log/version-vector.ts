import type { Digests } from '#protocol/digests'
import type { Brand, Epoch, PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { hexOf, utf8 } from '#protocol/text'
import type { Opening } from './feed.ts'

/**
 * How far a reader or a peer is in one topic: feed → nextOffset. An entry of a feed implies its predecessor up to the
 * link in its opening, and so on back (DESIGN §4), so that a writer usually takes one entry however often it restarted.
 * What a predecessor has beyond its link is implied by nothing: that alone takes an entry of its own.
 */
export type VersionVector = ReadonlyMap<VectorKey, number>

/** First 8 bytes of SHA-256(peer id), as 16 hex characters. */
export type WriterHash = Brand<string, 'WriterHash'>
/** `writerHash/epoch`: a feed of the topic. */
export type VectorKey = Brand<string, 'VectorKey'>

export function writerHashOf(peer: PeerId, digests: Digests): WriterHash {
  const known = writerHashes.get(peer)
  if (known !== undefined) return known
  const hash = hexOf(digests.sha256(utf8(peer)).subarray(0, 8)) as WriterHash
  if (writerHashes.size >= limits.membersMax) writerHashes.clear()
  writerHashes.set(peer, hash)
  return hash
}

/** Each publish and each reader asks for those of all writers of its topic. */
const writerHashes = new Map<PeerId, WriterHash>()

export const vectorKeyOf = (writer: WriterHash, epoch: Epoch): VectorKey => `${writer}/${epoch}` as VectorKey

export const epochOfKey = (key: VectorKey): string => key.slice(17)

export const writerOfKey = (key: VectorKey): WriterHash => key.slice(0, 16) as WriterHash

/** Where a feed goes on from the feed that its writer wrote before. */
export interface Link {
  readonly predecessor: VectorKey
  readonly nextOffset: number
}

/** Which feed goes on from which, as far as openings are known here. Not every predecessor needs to be. */
export type Lineage = ReadonlyMap<VectorKey, Link>

export function linkOf(writer: WriterHash, { predecessor }: Opening): Link | undefined {
  return predecessor && { predecessor: vectorKeyOf(writer, predecessor.epoch), nextOffset: predecessor.nextOffset }
}

export function lineageOf(openings: Iterable<Opening>, digests: Digests): Lineage {
  const lineage = new Map<VectorKey, Link>()
  for (const opening of openings) {
    const writer = writerHashOf(opening.writer, digests)
    const link = linkOf(writer, opening)
    if (link !== undefined) lineage.set(vectorKeyOf(writer, opening.epoch), link)
  }
  return lineage
}

/** The vector with everything that it implies. */
export const positionsOf = (vector: VersionVector, lineage: Lineage): VersionVector =>
  mergeVectors(vector, impliedBy(vector, lineage))

/** The nextOffset of one feed, or undefined when the vector says nothing of it. */
export const positionOf = (vector: VersionVector, lineage: Lineage, feed: VectorKey): number | undefined =>
  positionsOf(vector, lineage).get(feed)

/** The vector with `feed` at `nextOffset`, unless it is there or further already: entries are never lowered. */
export function advanceVector(vector: VersionVector, feed: VectorKey, nextOffset: number): VersionVector {
  return mergeVectors(vector, new Map([[feed, nextOffset]]))
}

/** The least vector that is at least as far as both: the larger entry of each feed. */
export function mergeVectors(a: VersionVector, b: VersionVector): VersionVector {
  const merged = new Map(a)
  for (const [feed, nextOffset] of b) merged.set(feed, Math.max(nextOffset, merged.get(feed) ?? 0))
  return merged
}

/** Drops entries that others imply. The positions stay the same; entries of feeds that are not known here stay. */
export function normalizeVector(vector: VersionVector, lineage: Lineage): VersionVector {
  const implied = impliedBy(vector, lineage)
  return new Map([...vector].filter(([feed, nextOffset]) => nextOffset > (implied.get(feed) ?? -1)))
}

/** True when `a` is at least as far as `b` in every feed. */
export function coversVector(a: VersionVector, b: VersionVector, lineage: Lineage): boolean {
  const positions = positionsOf(a, lineage)
  return [...b].every(([feed, nextOffset]) => nextOffset <= (positions.get(feed) ?? -1))
}

export function compareVectors(
  a: VersionVector,
  b: VersionVector,
  lineage: Lineage,
): 'equal' | 'before' | 'after' | 'concurrent' {
  const aCovers = coversVector(a, b, lineage)
  const bCovers = coversVector(b, a, lineage)
  if (aCovers) return bCovers ? 'equal' : 'after'
  return bCovers ? 'before' : 'concurrent'
}

/** What the entries imply of other feeds, by walking up the lineage once from each entry. */
function impliedBy(vector: VersionVector, lineage: Lineage): VersionVector {
  const implied = new Map<VectorKey, number>()
  const walked = new Set<VectorKey>()
  for (const start of vector.keys()) {
    let feed = start
    while (!walked.has(feed)) {
      walked.add(feed)
      const link = lineage.get(feed)
      // Openings that form a ring are a lie, since each holds a hash of the one before: no entry implies itself.
      if (link === undefined || link.predecessor === start) break
      implied.set(link.predecessor, Math.max(link.nextOffset, implied.get(link.predecessor) ?? 0))
      feed = link.predecessor
    }
  }
  return implied
}
