import { nodeDigests } from '#node/node-digests'
import { type CursorState, decodeCursor } from '#protocol/log/cursor'
import { feedKeyOf } from '#protocol/log/feed'
import { type WriterHash, writerHashOf } from '#protocol/log/version-vector'
import { placeText } from '../history.ts'
import type { PeerId, TopicId } from '#protocol/ids'
import type { FeedKey } from '#protocol/log/feed'
import type { Answer, Covered, Publish } from '../history.ts'
import type { DiskFeed, SimDisk } from '../sim-disk.ts'
import type { Anomaly } from './anomaly.ts'
import type { Written } from './written.ts'

/** What a cursor covers: of each feed on the disk of its peer the entry, and what an entry implies of predecessors. */
export function coveredBy(text: string, topicId: TopicId, disk: SimDisk): Covered {
  const state = decoded(text, topicId)
  const positions = new Map<FeedKey, number>()
  for (const { writer: hash, epoch, nextOffset } of state.entries) {
    const writer = writerOf(hash, disk)
    let at = writer && disk.feeds.get(feedKeyOf({ topicId, writer, epoch }))
    let covered: number | undefined = nextOffset
    while (at !== undefined && covered !== undefined) {
      const key = feedKeyOf(at.feed)
      positions.set(key, Math.max(covered, positions.get(key) ?? 0))
      const link: DiskFeed['opening']['predecessor'] = at.opening.predecessor
      at = link && disk.feeds.get(feedKeyOf({ ...at.feed, epoch: link.epoch }))
      covered = link?.nextOffset
    }
  }
  return { positions, sinceMs: state.sinceHlc.ms }
}

/** The same cursor is held against one disk after the other. */
let last: { readonly text: string; readonly topicId: TopicId; readonly state: CursorState } | undefined

function decoded(text: string, topicId: TopicId): CursorState {
  if (last?.text === text && last.topicId === topicId) return last.state
  const state = decodeCursor(text, topicId, nodeDigests)
  if (typeof state === 'string') throw new Error(`a cursor of a peer is ${state}`)
  last = { text, topicId, state }
  return state
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
