import { readBatchHeader, verifyBatch } from '#protocol/log/batch'
import { feedKeyOf } from '#protocol/log/feed'
import { nodeDigests } from '#node/node-digests'
import { placeText } from '../history.ts'
import type { FeedKey } from '#protocol/log/feed'
import type { Answer, History, Place, Publish } from '../history.ts'
import { rangeAt, without } from '#protocol/log/offset-ranges'
import { missingOn, soundBatches } from '../sim-disk.ts'
import type { DiskFeed, SimDisk } from '../sim-disk.ts'
import type { PeerId, TopicId } from '#protocol/ids'
import type { Anomaly, Disks } from './anomaly.ts'
import type { HomeOf } from './convergence.ts'

const blame = (detail: string): Anomaly => ({ checker: 'order', detail })

/**
 * P4 on disk: each feed is one unbroken chain from its opening batch, and at home it starts where it says that its predecessor
 * was. Elsewhere what is left over goes feed by feed.
 */
export function checkChains(disks: Disks, homeOf: HomeOf): readonly Anomaly[] {
  return [...disks].flatMap(([peer, disk]) =>
    [...disk.feeds.values()].flatMap((feed) => {
      const isAtHome = homeOf(feed.feed.topicId).includes(peer)
      const fault = chainFault(feed) ?? (isAtHome ? linkFault(feed, disk) : undefined)
      return fault === undefined
        ? []
        : [blame(`${feed.feed.writer}.${feed.feed.epoch.slice(0, 4)} at ${peer}: ${fault}`)]
    }),
  )
}

function chainFault(stored: DiskFeed): string | undefined {
  const { feed, state } = stored
  const batches = soundBatches(stored)
  const missing = missingOn(stored)
  let offset: number | undefined
  let hash: string | undefined
  for (const { bytes, head } of batches) {
    const header = readBatchHeader(bytes)
    const fault = verifyBatch(bytes, nodeDigests)
    if (typeof header === 'string' || fault !== undefined) return `damaged batch before ${head.nextOffset}: ${fault}`
    if ((offset === undefined) !== header.opening) return `an opening batch at ${header.baseOffset} out of place`
    const [from, to] = [offset, header.baseOffset]
    if (from !== undefined && from !== to) {
      // The opening batch stays when what followed it was let go of.
      const gap = without([{ from: Math.max(from, state.keptFrom), to }], missing)
      if (to !== state.keptFrom && (from > to || gap.length > 0)) return `offsets ${from} to ${to} are missing`
      hash = undefined
    }
    if (hash !== undefined && header.previousHash !== hash) return `the chain breaks at ${header.baseOffset}`
    offset = header.nextOffset
    hash = head.hash
  }
  return batches.length === 0 ? `nothing of ${feedKeyOf(feed)} is stored` : undefined
}

function linkFault({ feed, opening, state }: DiskFeed, disk: SimDisk): string | undefined {
  const link = opening.predecessor
  if (link === undefined || state.rooted) return undefined
  const predecessor = disk.feeds.get(feedKeyOf({ ...feed, epoch: link.epoch }))
  const isMissing = predecessor !== undefined && rangeAt(missingOn(predecessor), link.nextOffset - 1) !== undefined
  const there = predecessor?.batches.find(({ head }) => head.nextOffset === link.nextOffset)
  const isLetGo = (predecessor?.state.keptFrom ?? 0) >= link.nextOffset
  return there?.head.hash === link.hash || isLetGo || isMissing
    ? undefined
    : `its predecessor ${link.epoch.slice(0, 4)} is not here up to ${link.nextOffset}`
}

/**
 * P4 for clients: what a peer answered before it was asked for the next comes before that in the log, across restarts
 * too. A peer whose disk was damaged may have lost the place to go on from.
 */
export function checkAcceptedOrder(history: History, disks: Disks, homeOf: HomeOf): readonly Anomaly[] {
  const anomalies: Anomaly[] = []
  for (const publishes of byWriter(history)) {
    const { at, outcome } = publishes[0] as Answered
    const topicId = outcome.places[0]?.feed.split('/')[0] as TopicId
    const disk = disks.get(homeOf(topicId)[0] as PeerId)
    if (disk === undefined || disks.get(at)?.isDamaged !== false) continue
    publishes.reduce((before, after) => {
      const [last, first] = [before.outcome.places.at(-1), after.outcome.places[0]]
      if (before.outcome.atMs > after.invokedAtMs || last === undefined || first === undefined) return after
      if (!comesBefore(last, first, disk)) {
        anomalies.push(blame(`${placeText(first)} was accepted after ${placeText(last)} and does not follow it`))
      }
      return after
    })
  }
  return anomalies
}

type Answered = Publish & { readonly outcome: Answer }

function byWriter(history: History): readonly (readonly Answered[])[] {
  // A retry is answered with the place of its original, which may be anywhere.
  // And a clone is another machine, which nobody promised to keep in step.
  const first = history.answered().filter((publish) => publish.numbered === undefined && publish.machine === publish.at)
  const groups = Map.groupBy(first, ({ at, topic }) => `${at} ${topic}`)
  return [...groups.values()].map((group) => group.toSorted((a, b) => a.invokedAtMs - b.invokedAtMs))
}

/** Walks from the later record's feed to its predecessors; a record beyond a link is not before the successor. */
function comesBefore(before: Place, after: Place, disk: SimDisk): boolean {
  let key: FeedKey | undefined = after.feed
  let below = after.offset
  while (key !== undefined) {
    if (key === before.feed) return before.offset < below
    const feed: DiskFeed | undefined = disk.feeds.get(key)
    const link = feed?.opening.predecessor
    key = feed === undefined || link === undefined ? undefined : feedKeyOf({ ...feed.feed, epoch: link.epoch })
    below = link?.nextOffset ?? 0
  }
  return false
}
