import type { PeerId, TopicId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { lengthOf } from '#protocol/log/offset-ranges'
import type { Peer } from '#protocol/peer/peer'
import { copiesOfTopics } from '#protocol/replication/copies'
import type { Replication } from '#protocol/replication/replication'
import { boundedLabels, Sums } from './bounded-labels.ts'
import type { FigureMaker } from './figure.ts'

/** Series per topic: the first so many by name, all others in one. Higher: longer scrapes, at topics × members each. */
export const topicLabelsMax = 100
/** Series per member, likewise: a full mesh of this many has links and credits of its own each. */
export const memberLabelsMax = 64

/** How many copies there are, who lags, and what keeps them from flowing. */
export function replicationFigures(make: FigureMaker) {
  const topics = make.gauge({ name: 'grapevine_replication_topics', help: 'Topics known here.' })
  const feeds = make.gauge({
    name: 'grapevine_replication_feeds',
    help: 'Feeds held here. Every writer adds one per topic and boot: growing fast, some peer keeps restarting.',
  })
  const behind = make.gauge({
    name: 'grapevine_replication_behind_feeds',
    help: 'Feeds of which a linked neighbor holds more than this peer. Not falling: look at links, credit and anomalies.',
  })
  const catchUps = make.gauge({
    name: 'grapevine_replication_catch_ups',
    help: 'Feeds that are being fetched now, 4 at a time. At 4 for long: /v1/mesh/replication tells from whom and how fast.',
  })
  const followed = make.gauge({
    name: 'grapevine_replication_followed_topics',
    help: 'Topics that readers here read from other members. At most 4,096; one more is refused, or one not in use let go.',
  })
  const remoteReads = make.gauge({
    name: 'grapevine_replication_remote_reads',
    help: 'Reads that wait for other members, 12 under way at a time. Rising for long: those, or the links to them, are slow.',
  })
  const anomalies = make.shownCounter(
    {
      name: 'grapevine_replication_anomalies_total',
      help: 'What replication refused, by kind. Nothing is lost by it. Rising: a bug, or a hostile member.',
    },
    ['kind'],
  )
  const credit = make.shownGauge(
    {
      name: 'grapevine_replication_credit_bytes',
      help: 'Bytes of batches that may still be sent over a link, out and in; 2 MiB when idle. Out near 0 for long: that member or its disk is slow.',
    },
    ['member', 'direction'],
  )
  const damage = damageFigures(make)
  const lettingGo = lettingGoFigures(make)
  const copies = copiesFigures(make)
  return {
    collect: ({ self, replication, membership }: Peer): void => {
      const { local } = replication
      topics([...local.topics()].length)
      feeds(local.size)
      const { behind: behindFeeds, pulls } = replication.catchUps()
      behind(behindFeeds)
      catchUps(pulls.length)
      damage(replication)
      lettingGo(replication)
      followed(replication.following.topicCount)
      remoteReads(replication.remoteReads)
      anomalies(Object.entries(replication.anomalies).map(([kind, count]) => [{ kind }, count]))
      const peers = [...replication.homes.registered, ...replication.neighbors.keys()]
      const names = new Map(peers.map((peer) => [peer, membership.nameOf(peer)]))
      const labelOf = boundedLabels(names.values(), memberLabelsMax)
      const memberLabel = (peer: PeerId): string => labelOf(names.get(peer))
      credit(creditsOf(replication, memberLabel))
      copies(replication, self, memberLabel)
    },
  }
}

function damageFigures(make: FigureMaker) {
  const damaged = make.gauge({
    name: 'grapevine_replication_damaged_records',
    help: 'Records in damaged ranges of this disk: withdrawn, and fetched again from others. Not falling: nobody linked holds them.',
  })
  const lost = make.gauge({
    name: 'grapevine_replication_lost_records',
    help: 'Damaged records that no registered member holds any more. Above 0: readers are told of them as lost; somebody wiped may come back with them.',
  })
  const filling = make.gauge({
    name: 'grapevine_replication_repairs',
    help: 'Damaged ranges that are being fetched now, 2 at a time.',
  })
  const repairs = make.shownCounter(
    {
      name: 'grapevine_replication_damaged_ranges_total',
      help: 'Damaged ranges of this disk, found and repaired. Found rises: look at the disk, its cable and the memory.',
    },
    ['event'],
  )
  return (replication: Replication): void => {
    const feeds = [...replication.local.all()].filter(({ holes }) => holes.length > 0)
    damaged(feeds.reduce((sum, { holes }) => sum + lengthOf(holes), 0))
    lost(feeds.reduce((sum, feed) => sum + lengthOf(replication.lostOf(feed)), 0))
    filling(replication.repairs().length)
    repairs(Object.entries(replication.repairCounts).map(([event, count]) => [{ event }, count]))
  }
}

function lettingGoFigures(make: FigureMaker) {
  const pending = make.gauge({
    name: 'grapevine_replication_pending_handoffs',
    help: 'Feeds that this peer need not keep and still does. Not falling for hours: /v1/mesh/replication tells for whom they wait.',
  })
  const finished = make.total({
    name: 'grapevine_replication_handoffs_total',
    help: 'Feeds that this peer has let go of, once all of their home had confirmed a copy.',
  })
  const verifications = make.gauge({
    name: 'grapevine_replication_verifications',
    help: 'Copies that are read here, or are to be, so that other members may let go of theirs; 256 at most.',
  })
  const trimmed = make.total({
    name: 'grapevine_replication_trimmed_records_total',
    help: 'Records that this peer has decided to let go of, by retention. What others decided first is not in it.',
  })
  const forgotten = make.total({
    name: 'grapevine_replication_forgotten_feeds_total',
    help: 'Feeds of finished boots that retention has emptied, and that this peer has forgotten. None while a member is away.',
  })
  return ({ handoffs, verifications: wanted, retentionCounts, forgetting }: Replication): void => {
    trimmed(retentionCounts.records)
    forgotten(forgetting.count)
    pending(handoffs.count)
    finished(handoffs.finished)
    verifications(wanted)
  }
}

function* creditsOf({ neighbors }: Replication, memberLabel: (peer: PeerId) => string) {
  for (const { peer, link } of neighbors.values()) {
    if (link === undefined) continue
    const member = memberLabel(peer)
    yield [{ member, direction: 'out' }, link.creditOut] as const
    yield [{ member, direction: 'in' }, limits.linkCreditBytes - link.inFlightIn] as const
  }
}

function copiesFigures(make: FigureMaker) {
  const byTopic = (name: `grapevine_${string}`, help: string) => make.shownGauge({ name, help }, ['topic'])
  const records = byTopic(
    'grapevine_replication_records',
    'Records of a topic that anybody holds, as far as this peer knows.',
  )
  const underReplicated = byTopic(
    'grapevine_replication_underreplicated_records',
    'Records that some home member is not known to hold. Above 0 while load comes in or somebody is away; else look at lag.',
  )
  const single = byTopic(
    'grapevine_replication_single_copy_records',
    'Records that only one member is known to hold: lost with its disk. Above 0 for long: connect that member before anything else.',
  )
  const lag = make.shownGauge(
    {
      name: 'grapevine_replication_lag_records',
      help: 'Records of a topic that a home member or its stand-in misses, as this peer last heard. Not falling: that member is away, cut off, slow or full.',
    },
    ['topic', 'member'],
  )
  return (replication: Replication, self: PeerId, memberLabel: (peer: PeerId) => string): void => {
    const topicLabel = topicLabels(replication)
    const sums = { records: new Sums(), underReplicated: new Sums(), single: new Sums() }
    const lags = new Map<string, Sums>()
    for (const [topicId, copies] of copiesOfTopics(replication, self)) {
      const topic = topicLabel(topicId)
      for (const name of ['records', 'underReplicated', 'single'] as const) sums[name].add(topic, copies[name])
      const topicLags = lags.get(topic) ?? new Sums()
      lags.set(topic, topicLags)
      for (const [peer, missing] of copies.lag) topicLags.add(memberLabel(peer), missing)
    }
    records(topicValues(sums.records))
    underReplicated(topicValues(sums.underReplicated))
    single(topicValues(sums.single))
    lag(lagValues(lags))
  }
}

/** A topic that only others hold has no name here yet. */
function topicLabels({ local }: Replication): (topicId: TopicId) => string {
  const names = new Map([...local.topics()].map((topicId) => [topicId, local.ofTopic(topicId)[0]?.opening.topic ?? '']))
  const labelOf = boundedLabels(names.values(), topicLabelsMax)
  return (topicId) => labelOf(names.get(topicId))
}

function* topicValues(sums: Sums) {
  for (const [topic, value] of sums.entries) yield [{ topic }, value] as const
}

function* lagValues(lags: ReadonlyMap<string, Sums>) {
  for (const [topic, sums] of lags) {
    for (const [member, value] of sums.entries) yield [{ topic, member }, value] as const
  }
}
