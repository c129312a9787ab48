import { nodeDigests } from '#node/node-digests'
import { type CursorEntry, decodeCursor } from '#protocol/log/cursor'
import { feedKeyOf } from '#protocol/log/feed'
import { type WriterHash, writerHashOf } from '#protocol/log/version-vector'
import { placeText } from '../history.ts'
import type { PeerId, TopicId } from '#protocol/ids'
import type { FeedKey, Opening } from '#protocol/log/feed'
import type { Answer, Covered, Publish } from '../history.ts'
import type { DiskFeed, SimDisk } from '../sim-disk.ts'
import type { Anomaly } from './anomaly.ts'
import type { Written } from './written.ts'

/** What a cursor covers: of each feed on the disk of its peer the entry, and what an entry implies of predecessors. */
export function coveredBy(text: string, topicId: TopicId, disk: SimDisk): Covered {
  const positions = new Map<FeedKey, number>()
  addCovered(positions, text, { topicId, disk })
  return { positions, sinceMs: decoded(text, topicId).sinceMs }
}

/** The same, added to what it covers by other disks. */
export function addCovered(
  positions: Map<FeedKey, number>,
  text: string,
  { topicId, disk }: { readonly topicId: TopicId; readonly disk: SimDisk },
): void {
  for (const entry of decoded(text, topicId).entries) {
    let key = keyOf(entry, topicId, disk)
    let covered: number | undefined = entry.nextOffset
    while (key !== undefined && covered !== undefined) {
      const at = disk.feeds.get(key)
      if (at === undefined) break
      positions.set(key, Math.max(covered, positions.get(key) ?? 0))
      covered = at.opening.predecessor?.nextOffset
      key = predecessorKeyOf(at)
    }
  }
}

interface Entry extends CursorEntry {
  /** Once a disk has shown who the writer is. */
  key: FeedKey | undefined
}

interface Decoded {
  readonly text: string
  readonly topicId: TopicId
  readonly sinceMs: number
  readonly entries: readonly Entry[]
}

/** The same cursor is held against one disk after the other. */
let last: Decoded | undefined

function decoded(text: string, topicId: TopicId): Decoded {
  if (last?.text === text && last.topicId === topicId) return last
  const state = decodeCursor(text, topicId, nodeDigests)
  if (typeof state === 'string') throw new Error(`a cursor of a peer is ${state}`)
  const entries = state.entries.map((entry) => ({ ...entry, key: undefined }))
  last = { text, topicId, sinceMs: state.sinceHlc.ms, entries }
  return last
}

function keyOf(entry: Entry, topicId: TopicId, disk: SimDisk): FeedKey | undefined {
  if (entry.key === undefined) {
    const writer = writerOf(entry.writer, disk)
    if (writer !== undefined) entry.key = feedKeyOf({ topicId, writer, epoch: entry.epoch })
  }
  return entry.key
}

const predecessors = new WeakMap<Opening, FeedKey>()

function predecessorKeyOf({ feed, opening }: DiskFeed): FeedKey | undefined {
  if (opening.predecessor === undefined) return undefined
  const key = predecessors.get(opening) ?? feedKeyOf({ ...feed, epoch: opening.predecessor.epoch })
  predecessors.set(opening, key)
  return key
}

/** Of all worlds: a peer has one hash everywhere. */
const writers = new Map<WriterHash, PeerId>()

/** Undefined: nothing of that writer was ever seen on a disk. */
function writerOf(hash: WriterHash, disk: SimDisk): PeerId | undefined {
  const known = writers.get(hash)
  if (known !== undefined) return known
  for (const { feed } of disk.feeds.values()) writers.set(writerHashOf(feed.writer, nodeDigests), feed.writer)
  return writers.get(hash)
}

/**
 * The cursor of an answer lets its client read on anywhere without missing and without repeating: it covers what was
 * published (read your writes), and nothing that the disk of its peer does not hold. `cursors` judges what is read from it.
 */
export function checkSession(
  { at }: Publish,
  { places }: Answer,
  covered: Covered,
  { disk, written }: { readonly disk: SimDisk; readonly written: Written },
): readonly Anomaly[] {
  const blame = (detail: string): Anomaly => ({
    checker: 'sessions',
    detail: `the cursor of an answer of ${at} ${detail}`,
  })
  const without = places.find(({ feed, offset }) => {
    return (covered.positions.get(feed) ?? 0) <= offset && !written.isTrimmed(feed, offset)
  })
  const beyond = [...covered.positions].find(([feed, nextOffset]) => {
    return nextOffset > Math.max(disk.nextOffset(feed), written.floors.get(feed) ?? 0)
  })
  return [
    ...(without === undefined ? [] : [blame(`does not cover its own ${placeText(without)}`)]),
    ...(beyond === undefined
      ? []
      : [blame(`covers ${beyond[0].split('/')[1]} up to ${beyond[1]}, which is not there`)]),
  ]
}
