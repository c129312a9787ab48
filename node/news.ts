import type { PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import type { BootOptions } from './boot.ts'
import type { NodeConfig } from './config.ts'
import type { DamageNews, DeletionNews, PeerDriver } from './driver.ts'
import {
  awayOf,
  badFrameTold,
  damageTold,
  deletionTold,
  diskTold,
  doubleTold,
  linkTold,
  memberTold,
  partitionTold,
  statusTold,
  type Told,
} from './event-words.ts'
import type { Log } from './log.ts'
import type { MeshEvents } from './mesh-events.ts'
import type { PeerMetrics } from './metrics.ts'
import { healView } from './partition-views.ts'
import { realClock } from './real-clock.ts'
import { Recent } from './recent.ts'

export interface NewsDeps {
  readonly config: NodeConfig
  readonly log: Log
  readonly metrics: PeerMetrics
  readonly events: MeshEvents
  readonly driver: () => PeerDriver
  /** There may be more of them, or fewer. */
  readonly onMembers: () => void
}

type News = Pick<
  BootOptions,
  | 'onMemberChanged'
  | 'onStatusChanged'
  | 'onLink'
  | 'onPartition'
  | 'onDouble'
  | 'onDeletion'
  | 'onBadFrame'
  | 'onDamage'
  | 'onDiskChanged'
>

/** What a peer tells while it runs: in its log, among the events of the mesh, and in figures. */
/** Of each kind, and each peer. */
const badFramesQuietMs = 60_000

export function newsOf({ config, log, metrics, events, driver, onMembers }: NewsDeps): News {
  const nameOf = (peer: PeerId): string => driver().peer.membership.nameOf(peer)
  const tell = (told: Told): void => events.add(...told)
  // A member of a newer version may send what is not known here with every beat of its timers.
  const badFrames = new Recent({ forMs: badFramesQuietMs, keysMax: limits.linksMax })
  let away: ReadonlySet<PeerId> = new Set()
  return {
    onMemberChanged: (change) => {
      const { peer, from, to, incarnation, by, reason } = change
      metrics.memberChanged(change)
      if (from === 'unknown') onMembers()
      tell(memberTold(change, nameOf))
      log.info('member changed', { member: nameOf(peer), from, to, incarnation, by: nameOf(by), reason })
    },
    onStatusChanged: (change) => {
      onMembers()
      tell(statusTold(change, nameOf))
      log.info('member status changed', { member: nameOf(change.peer), ...change.status, why: change.why })
    },
    onLink: (news) => {
      tell(linkTold(news, nameOf))
      const { type, ...fields } = news
      log.info(type === 'linkOpened' ? 'link up' : 'link down', { ...fields, name: nameOf(news.peer) })
    },
    onPartition: (news) => {
      metrics.partition(news)
      const healOf = ({ heal }: Extract<typeof news, { type: 'sidesMerged' }>) =>
        healView(heal, { clock: realClock, nameOf })
      const [type, { text, ...fields }] = partitionTold(news, { nameOf, healOf, before: away })
      if (news.type === 'partitionChanged') away = awayOf(news)
      if (news.type === 'partitionHealed') away = new Set()
      events.add(type, { text, ...fields })
      log.info(type, fields)
    },
    onDouble: (addresses) => {
      metrics.doubled()
      tell(doubleTold(addresses))
      log.error('another process has the identity of this peer: stop one of them', { addresses })
    },
    onDeletion: (news) => {
      tell(deletionTold(news))
      logDeletion(log, news)
    },
    onBadFrame: (peer, what) => {
      const [fault = ''] = what.split(' ', 1)
      const [kind, nowMs] = [`${peer} ${fault}`, performance.now()]
      if (badFrames.has(kind, nowMs)) return
      badFrames.add(kind, nowMs)
      tell(badFrameTold(peer, what, nameOf))
      log.warn('frame not understood', { peer, what })
    },
    onDamage: (news) => {
      tell(damageTold(news, nameOf))
      logDamage(log, news, nameOf)
    },
    onDiskChanged: (full) => {
      tell(diskTold(full))
      if (full) log.error('disk nearly full: publishes are refused', { data: config.data })
      else log.info('disk has room again', { data: config.data })
    },
  }
}

function logDamage(log: Log, news: DamageNews, nameOf: (peer: PeerId) => string): void {
  const what = { feed: `${news.feed.writer}.${news.feed.epoch}`, ...news.range }
  if (news.type === 'feedDamaged') log.warn('feed damaged', what)
  else log.info('feed repaired', { ...what, by: nameOf(news.from) })
}

function logDeletion(log: Log, news: DeletionNews): void {
  if (news.type === 'topicDeleted') return log.info('topic deleted', { topic: news.topic, generation: news.generation })
  const { name, records, leftMs } = news.remains
  log.warn('records of a deleted topic kept', { topic: name, records, goesInMs: Math.round(leftMs) })
}
