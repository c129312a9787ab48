import { ackLevelText, strictest } from '#protocol/ack-level'
import { longest, type TopicConfig, retentionJson } from '#protocol/topic-config'
import { hasSeen, runOf } from '#protocol/topics/register'
import { configOf } from '#protocol/topics/topic-state'
import { DiskValues } from './anomaly.ts'
import { type Place, placeText } from '../history.ts'
import type { PeerId, TopicId } from '#protocol/ids'
import type { Peer } from '#protocol/peer/peer'
import { parseFeedKey } from '#protocol/log/feed'
import type { TopicName } from '#protocol/topic-name'
import type { TopicState } from '#protocol/topics/topic-state'
import { administered, type Administration, type Edit, type TemporaryRecord } from '../administrators.ts'
import type { SimPeer } from '../sim-peer.ts'
import type { Anomaly, Disks } from './anomaly.ts'
import type { HomeOf } from './convergence.ts'

const blame = (detail: string): Anomaly => ({ checker: 'topics', detail })

/** Everybody knows the same of every topic. */
export const isRegistryConverged = (peers: readonly SimPeer[]): boolean => apartOf(peers).length === 0

export interface AdministeredWorld {
  readonly peers: readonly SimPeer[]
  readonly disks: Disks
  readonly homeOf: HomeOf
  readonly administration: Administration
  /** Longer than the world: what was published to a deleted topic is still there in the end. */
  readonly keepsRemains: boolean
}

/**
 * The registry at the end of a world (DESIGN §10): it is the same everywhere; what was acked holds unless a later edit saw
 * it; a deleted generation stays deleted; what its deleters saw is gone, and nothing else that was acked is.
 */
export function checkTopics(world: AdministeredWorld): readonly Anomaly[] {
  const apart = apartOf(world.peers).map(blame)
  const peer = world.peers.find(({ driver }) => driver !== undefined)?.driver?.peer
  if (apart.length > 0 || peer === undefined) return apart
  // Edits that only a damaged disk had are gone with it.
  const isDamaged = [...world.disks.values()].some((disk) => disk.isDamaged)
  const edits = isDamaged
    ? []
    : world.administration.edits.flatMap((edit) => editFault(edit, peer, world.administration))
  return [...edits.map(blame), ...recordFaults(world, peer, isDamaged).map(blame)]
}

function apartOf(peers: readonly SimPeer[]): readonly string[] {
  const [first, ...others] = peers.flatMap(({ id, driver }) =>
    driver === undefined ? [] : [{ id, peer: driver.peer }],
  )
  if (first === undefined) return []
  return others.flatMap(({ id, peer }) =>
    administered.flatMap((topic) => {
      const [one, other] = [stateText(first.peer, topic), stateText(peer, topic)]
      return one === other ? [] : [`${topic} is ${one} at ${first.id}, ${other} at ${id}`]
    }),
  )
}

function stateText({ topics }: Peer, topic: string): string {
  const state = topics.get(topic as TopicName)
  return `${topics.versionOf(state)} of generation ${state.generation}`
}

// Edits ---------------------------------------------------------------------------------------------------------------

function editFault(edit: Edit, { topics }: Peer, { edits }: Administration): readonly string[] {
  const now = topics.get(edit.topic as TopicName)
  if (edit.outcome !== 'done' || now.generation > edit.base.generation) return []
  if (edit.deletes) return [`${edit.topic} lives again in generation ${now.generation}, which ${edit.at} has deleted`]
  if (edit.dot === undefined) return []
  return (['replicas', 'retention', 'minAck'] as const).flatMap((field) => {
    const isLater = (other: Edit): boolean => other.asked[field] !== undefined && sawIt(other, edit)
    if (protects(configOf(now), edit.asked, field) || edits.some(isLater)) return []
    return [
      `${field} of ${edit.topic} is less than ${edit.at} was told: ${valueText(edit, field)}, now ${configText(now)}`,
    ]
  })
}

const sawIt = (later: Edit, edit: Edit): boolean =>
  later.topic === edit.topic &&
  later.base.generation === edit.base.generation &&
  edit.dot !== undefined &&
  hasSeen(later.base.seen, edit.dot)

/** At least what was asked: joined with that it stays what it is. */
function protects(now: TopicConfig, asked: Edit['asked'], field: keyof TopicConfig): boolean {
  switch (field) {
    case 'replicas':
      return now.replicas >= (asked.replicas ?? 0)
    case 'retention': {
      const wanted = asked.retention
      return wanted === undefined || textOf(longest(now.retention, wanted)) === textOf(now.retention)
    }
    case 'minAck':
      return ackLevelText(strictest(now.minAck, asked.minAck ?? { type: 'local' })) === ackLevelText(now.minAck)
  }
}

const textOf = (retention: TopicConfig['retention']): string => JSON.stringify(retentionJson(retention))
const valueText = ({ asked }: Edit, field: keyof TopicConfig): string => JSON.stringify(asked[field])
const configText = (state: TopicState): string => JSON.stringify(configOf(state))

// Records -------------------------------------------------------------------------------------------------------------

function recordFaults(world: AdministeredWorld, peer: Peer, isDamaged: boolean): readonly string[] {
  const contents = new Map([...world.disks].map(([id, disk]) => [id, new DiskValues(disk)]))
  return world.administration.records.flatMap((record) => {
    const fate = fateOf(record, peer, world)
    if (fate === 'may be either' || (isDamaged && fate === 'stays')) return []
    return world.homeOf(topicOf(record)).flatMap((home) => {
      const isThere = contents.get(home)?.at(record.place.feed, record.place.offset) === record.value
      if (isThere === (fate === 'stays')) return []
      const what = isThere ? 'was deleted, and is still' : 'was acked, was not deleted, and is not'
      return [`${record.value} of ${record.topic} at ${placeText(record.place)} ${what} at ${home}`]
    })
  })
}

type Fate = 'stays' | 'goes' | 'may be either'

function fateOf(
  { topic, place, copies }: TemporaryRecord,
  peer: Peer,
  { disks, keepsRemains }: AdministeredWorld,
): Fate {
  const feed = parseFeedKey(place.feed)
  const state = peer.topics.get(topic as TopicName)
  if (feed === undefined || isLost(place, copies, disks)) return 'may be either'
  const deleted = [...peer.deletedIdsOf(topic as TopicName)].indexOf(feed.topicId)
  if (deleted < 0) return feed.topicId === peer.topicIdOf(topic as TopicName) ? 'stays' : 'may be either'
  const seen = state.deleted.get(state.generation - 1 - deleted)?.upTo.get(runOf(feed.writer, feed.epoch))
  if (seen !== undefined && place.offset < seen.nextOffset) return 'goes'
  return keepsRemains ? 'stays' : 'may be either'
}

/** Each disk that it was acked from has lost it to damage, or handed it over to one that has. */
function isLost({ feed, offset }: Place, copies: readonly PeerId[], disks: Disks): boolean {
  const losers = new Set([...disks].flatMap(([id, disk]) => (disk.lostAtMs(feed, offset) === undefined ? [] : [id])))
  const hasLetGo = (id: PeerId): boolean => (disks.get(id)?.feeds.get(feed)?.state.keptFrom ?? 0) > offset
  return copies.every((id) => losers.has(id) || (losers.size > 0 && hasLetGo(id)))
}

const topicOf = ({ place }: TemporaryRecord): TopicId => place.feed.split('/')[0] as TopicId
