import { type FeedId, feedKeyOf } from '#protocol/log/feed'
import type { Piece } from '#protocol/log/record'
import type { SettledPublish } from '#protocol/replication/inputs'
import type { Original, PlacedRun } from './inputs.ts'

/** The records of a part that are not in the log yet. `originals` are those that are, in order. */
export function piecesOf(count: number, originals: readonly Original[]): readonly Piece[] {
  const pieces: Piece[] = []
  let at = 0
  for (const { firstIndex, count: known } of [...originals, { firstIndex: count, count: 0 }]) {
    if (firstIndex > at) pieces.push({ firstIndex: at, count: firstIndex - at })
    at = firstIndex + known
  }
  return pieces
}

/** Where the records of a part are, in their order, when its pieces go to `feed` from `firstOffset` on, one after the other. */
export function runsOf(
  pieces: readonly Piece[],
  originals: readonly Original[],
  { feed, firstOffset }: { readonly feed: FeedId; readonly firstOffset: number },
): readonly PlacedRun[] {
  let offset = firstOffset
  const added = pieces.map((piece) => {
    const run = { ...piece, feed, firstOffset: offset }
    offset += piece.count
    return run
  })
  const runs = [...added, ...originals].toSorted((a, b) => a.firstIndex - b.firstIndex)
  return runs.map(({ feed: where, firstOffset: from, count }) => ({ feed: where, firstOffset: from, count }))
}

/** For each feed that holds originals, where the last of them ends. */
export function endsOf(
  originals: readonly Original[],
): readonly { readonly feed: FeedId; readonly endOffset: number }[] {
  const ends = new Map<string, { readonly feed: FeedId; readonly endOffset: number }>()
  for (const { feed, firstOffset, count } of originals) {
    const key = feedKeyOf(feed)
    const endOffset = Math.max(firstOffset + count, ends.get(key)?.endOffset ?? 0)
    ends.set(key, { feed, endOffset })
  }
  return [...ends.values()]
}

/** A part whose records are in several feeds is settled with all of them: what holds for each of its records. */
export const settledTogether = (a: SettledPublish, b: SettledPublish): SettledPublish => ({
  ...b,
  reached: a.reached && b.reached,
  peers: a.peers.filter((peer) => b.peers.includes(peer)),
})
