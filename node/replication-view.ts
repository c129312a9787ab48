import type { PeerId, TopicId } from '#protocol/ids'
import type { FeedId } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import { without } from '#protocol/log/offset-ranges'
import type { Millis } from '#protocol/machine'
import { copiesOfTopics } from '#protocol/replication/copies'
import type { Handoff } from '#protocol/replication/handoff'
import type { Replication } from '#protocol/replication/replication'
import type {
  BehindView,
  CatchUpView,
  HandoffView,
  NeighborView,
  RepairView,
  ReplicationTotals,
  ReplicationView,
} from '#protocol/views'

export interface ReplicationViewOptions {
  readonly replication: Replication
  readonly self: PeerId
  readonly nowMs: Millis
  readonly nameOf: (peer: PeerId) => string
  /** The id itself, if the name is not known. */
  readonly topicOf: (topicId: TopicId) => string
}

/** One look at all feeds of all neighbors: for people and dashboards, not for many times a second. */
export function replicationView(options: ReplicationViewOptions): ReplicationView {
  const allBehind = behindViews(options)
  const allRepairs = repairViews(options)
  const neighbors = cut(neighborViews(options, allBehind))
  const behind = cut(allBehind)
  const repairs = cut(allRepairs)
  const handoffs = cut(handoffsInOrder(options.replication))
  return {
    totals: totalsOf(options, allBehind, allRepairs),
    neighbors: neighbors.rows,
    behind: behind.rows,
    catchUps: catchUpViews(options),
    repairs: repairs.rows,
    handoffs: handoffs.rows.map((handoff) => handoffView(options, handoff)),
    leftOut: {
      neighbors: neighbors.leftOut,
      behind: behind.leftOut,
      repairs: repairs.leftOut,
      handoffs: handoffs.leftOut,
    },
  }
}

const cut = <Row>(rows: readonly Row[]) => ({
  rows: rows.slice(0, limits.replicationRowsMax),
  leftOut: Math.max(0, rows.length - limits.replicationRowsMax),
})

function totalsOf(
  { replication }: ReplicationViewOptions,
  behind: readonly BehindView[],
  repairs: readonly RepairView[],
): ReplicationTotals {
  const { repairCounts } = replication
  const recordsOf = (some: readonly RepairView[]): number => some.reduce((sum, { from, to }) => sum + to - from, 0)
  return {
    diskFull: replication.isFull,
    behindRecords: behind.reduce((sum, { records }) => sum + records, 0),
    behindFeeds: replication.catchUps().behind,
    damagedRecords: recordsOf(repairs),
    lostRecords: recordsOf(repairs.filter(({ state }) => state === 'lost')),
    rangesFound: repairCounts.found,
    rangesRepaired: repairCounts.repaired,
    handedOff: replication.handoffs.finished,
    forgotten: replication.forgetting.count,
    verifications: replication.verifications,
    followedTopics: replication.following.topicCount,
    remoteReads: replication.remoteReads,
    waitingPublishes: replication.waitingPublishes,
  }
}

function behindViews({ replication, self, nameOf, topicOf }: ReplicationViewOptions): readonly BehindView[] {
  const isCurrent = (peer: PeerId): boolean =>
    peer === self || replication.neighbors.get(peer)?.link?.account === 'complete'
  const rows: BehindView[] = []
  for (const [topicId, { lag }] of copiesOfTopics(replication, self)) {
    for (const [peer, records] of lag) {
      if (records === 0) continue
      rows.push({ peer, name: nameOf(peer), topic: topicOf(topicId), records, current: isCurrent(peer) })
    }
  }
  return rows.toSorted((a, b) => b.records - a.records)
}

function neighborViews(
  { replication, self, nameOf }: ReplicationViewOptions,
  behind: readonly BehindView[],
): readonly NeighborView[] {
  const missing = Map.groupBy(behind, ({ peer }) => peer)
  const { homes, neighbors } = replication
  const others = [...new Set([...homes.registered, ...neighbors.keys()])].filter((peer) => peer !== self)
  const views = others.map((peer): NeighborView => {
    const link = neighbors.get(peer)?.link
    return {
      peer,
      name: nameOf(peer),
      linked: link !== undefined,
      current: link?.account === 'complete',
      diskFull: link?.isFull === true,
      behindRecords: (missing.get(peer) ?? []).reduce((sum, { records }) => sum + records, 0),
      unpushedFeeds: link?.unpushed.size ?? 0,
    }
  })
  const concern = ({ behindRecords, diskFull, current }: NeighborView): number =>
    behindRecords + (diskFull || !current ? Number.MAX_SAFE_INTEGER : 0)
  return views.toSorted((a, b) => concern(b) - concern(a) || (a.name < b.name ? -1 : 1))
}

function catchUpViews({ replication, nowMs, nameOf, topicOf }: ReplicationViewOptions): readonly CatchUpView[] {
  return replication.catchUps().pulls.map(({ feed, from, position, target, begun }) => {
    const sinceMs = Math.round(nowMs - begun.atMs)
    // Before the opening batch there is no position.
    const [at, start] = [Math.max(0, position), Math.max(0, begun.position)]
    const rate = { recordsPerSecond: Math.round((at - start) / (sinceMs / 1_000)) }
    return {
      topic: topicOf(feed.topicId),
      feed: feedText(feed),
      from: nameOf(from),
      position: at,
      target,
      recordsLeft: target - at,
      sinceMs,
      ...(at > start && sinceMs > 0 && rate),
    }
  })
}

/** Fetched first, then lost, then what waits. */
function repairViews({ replication, nameOf, topicOf }: ReplicationViewOptions): readonly RepairView[] {
  const fillings = new Map(replication.repairs().map((filling) => [filling.local.key, filling]))
  const rows: RepairView[] = []
  for (const local of replication.local.all()) {
    if (local.holes.length === 0) continue
    const place = { topic: topicOf(local.feed.topicId), feed: feedText(local.feed) }
    const filling = fillings.get(local.key)
    const fetched = filling === undefined ? [] : [filling.piece]
    const lost = replication.lostOf(local)
    if (filling !== undefined) {
      const { piece, from: source, at } = filling
      rows.push({ ...place, state: 'fetching', ...piece, source: nameOf(source), position: at.nextOffset })
    }
    for (const range of without(lost, fetched)) rows.push({ ...place, state: 'lost', ...range })
    const waiting = without(without(local.holes, lost), fetched)
    for (const range of waiting) rows.push({ ...place, state: 'waiting', ...range })
  }
  const order = { fetching: 0, lost: 1, waiting: 2 } as const
  return rows.toSorted((a, b) => order[a.state] - order[b.state])
}

/** Those that others are asked for first. */
function handoffsInOrder({ handoffs }: Replication): readonly Handoff[] {
  const all = [...handoffs.all()]
  return [...all.filter(({ state }) => state.type === 'asking'), ...all.filter(({ state }) => state.type === 'resting')]
}

function handoffView({ replication, nowMs, nameOf, topicOf }: ReplicationViewOptions, handoff: Handoff): HandoffView {
  const { local, head, last, state } = handoff
  const waitsFor = replication.handoffs.waitsFor(handoff)
  const resting = last ? 'grace' : waitsFor.length > 0 ? 'copying' : 'queued'
  return {
    topic: topicOf(local.feed.topicId),
    feed: feedText(local.feed),
    step: state.type === 'asking' ? 'asking' : resting,
    records: head.nextOffset - local.keptFrom,
    waitsFor: waitsFor.map(nameOf),
    ...(state.type === 'resting' && { nextInMs: Math.max(0, Math.round(state.untilMs - nowMs)) }),
  }
}

const feedText = (feed: FeedId): string => `${feed.writer}.${feed.epoch}`
