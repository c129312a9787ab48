import type { PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import type { Millis } from '#protocol/machine'
import type { HealView, MeshEventType } from '#protocol/views'
import type { DamageNews, DeletionNews, LinkNews, MemberChange, PartitionNews, StatusChange } from './driver.ts'
import type { EventFields } from './mesh-events.ts'
import type { StrangerNews } from './network/strangers.ts'

/** What is told of a fact, in words and in fields. */
export type Told = readonly [MeshEventType, EventFields]

export type NameOf = (peer: PeerId) => string

export function memberTold({ peer, from, to, incarnation, by, reason }: MemberChange, nameOf: NameOf): Told {
  const name = nameOf(peer)
  const who = { peer, name, by: nameOf(by), reason, from, to, incarnation }
  if (from === 'unknown') return ['joined', { ...who, text: `${name} joined, ${to}: ${reason}` }]
  switch (to) {
    case 'suspect':
      return ['suspected', { ...who, text: `${name} suspected by ${who.by}: ${reason}` }]
    case 'dead':
      return ['dead', { ...who, text: `${name} dead, says ${who.by}: ${reason}` }]
    case 'left':
      return ['left', { ...who, text: `${name} left` }]
    case 'alive':
      if (from === 'suspect') return ['refuted', { ...who, text: `${name} is alive: ${reason}` }]
      return ['returned', { ...who, text: `${name} is back: ${reason}` }]
  }
}

export function statusTold({ peer, status, why }: StatusChange, nameOf: NameOf): Told {
  const who = { peer, name: nameOf(peer), generation: status.generation, reason: why }
  switch (status.type) {
    case 'leaving':
      return ['leaving', { ...who, text: `${who.name} is to go, and hands over what it holds` }]
    case 'forgotten':
      return ['forgotten', { ...who, text: `${who.name} does not belong any more` }]
    case 'member':
      return ['admitted', { ...who, text: `${who.name} belongs again` }]
  }
}

export function linkTold(news: LinkNews, nameOf: NameOf): Told {
  const name = nameOf(news.peer)
  const who = { peer: news.peer, name }
  if (news.type === 'linkOpened') return ['link-opened', { ...who, text: `link to ${name} is up` }]
  const { cause, reason } = news
  return ['link-closed', { ...who, cause, reason, text: `link to ${name} is down: ${reason}` }]
}

export function strangerTold({ reason, address, peer, connections }: StrangerNews): Told {
  const often = connections === 1 ? '' : `, the last of ${connections} connections`
  const text = `stranger at ${address} refused: ${reason}${often}`
  return ['stranger-refused', { ...(peer && { peer }), address, reason, connections, text }]
}

/**
 * What has changed since `before`: who was away then. As many members as there are, an event has a bound: it counts them, and
 * names the first few of those lost or back. All of them are at `/v1/mesh/partitions` and `/v1/mesh/heals`.
 */
export function partitionTold(
  news: PartitionNews,
  deps: {
    readonly nameOf: NameOf
    readonly healOf: (news: Extract<PartitionNews, { type: 'sidesMerged' }>) => HealView
    readonly before: ReadonlySet<PeerId>
  },
): Told {
  const namesOf = (peers: readonly PeerId[]): readonly string[] => peers.map(deps.nameOf).toSorted()
  switch (news.type) {
    case 'partitionChanged': {
      const { before } = deps
      const away = awayOf(news)
      const lost = namesOf([...away].filter((peer) => !before.has(peer)))
      const back = namesOf(news.reachable.filter((peer) => before.has(peer)))
      const [reachable, known] = [news.reachable.length, news.known.length]
      const counts = { reachable, known, away: away.size }
      const change = [
        ...(lost.length > 0 ? [`lost ${listText(lost)}`] : []),
        ...(back.length > 0 ? [`back ${listText(back)}`] : []),
      ]
      const text = [`split: ${reachable} of ${known} can be reached`, ...change].join('; ')
      return ['partition', { ...counts, ...bounded('lost', lost), ...bounded('back', back), text }]
    }
    case 'partitionHealed': {
      const back = namesOf(news.back)
      const after = `after ${secondsText(news.apartMs)}`
      const text =
        back.length === 0 ? `nobody is missing any more, ${after}` : `healed ${after}: ${listText(back)} back`
      return ['healed', { ...bounded('back', back), apartMs: Math.round(news.apartMs), text }]
    }
    case 'sidesMerged': {
      const heal = deps.healOf(news)
      const { ours, theirs } = heal
      const members = { ours: ours.length, theirs: theirs.length }
      return [
        'merged',
        { ...members, heal: { ...heal, ours: first(ours), theirs: first(theirs) }, text: mergedText(heal) },
      ]
    }
  }
}

/** Who belongs, and cannot be reached. */
export function awayOf({ reachable, known }: Extract<PartitionNews, { type: 'partitionChanged' }>): Set<PeerId> {
  const there = new Set(reachable)
  return new Set(known.filter((peer) => !there.has(peer)))
}

const first = <T>(list: readonly T[]): readonly T[] => list.slice(0, limits.eventNamesMax)

/** The first names of a list; `<name>More`: how many there are beyond. */
function bounded(field: 'lost' | 'back', names: readonly string[]): Readonly<Record<string, unknown>> {
  const more = names.length - limits.eventNamesMax
  return { [field]: first(names), ...(more > 0 && { [`${field}More`]: more }) }
}

function listText(names: readonly string[]): string {
  const more = names.length - limits.eventNamesMax
  return first(names).join(', ') + (more > 0 ? ` and ${more} more` : '')
}

function mergedText({ theirs, received, taken, duplicates }: HealView): string {
  const names = theirs.map(({ name }) => name).toSorted()
  const twice = duplicates === 0 ? '' : `, ${duplicates} of them known here already`
  return `merged with ${listText(names)}: ${received.records} records received${twice}, ${taken.records} taken`
}

export function damageTold(news: DamageNews, nameOf: NameOf): Told {
  const { from, to } = news.range
  const feed = `${news.feed.writer}.${news.feed.epoch}`
  const what = { feed, range: { from, to } }
  if (news.type === 'feedDamaged') return ['damaged', { ...what, text: `damage on disk: [${from}, ${to}) of ${feed}` }]
  const by = nameOf(news.from)
  return ['repaired', { ...what, by, text: `repaired from ${by}: [${from}, ${to}) of ${feed}` }]
}

export function deletionTold(news: DeletionNews): Told {
  if (news.type === 'topicDeleted') {
    const { topic, generation } = news
    return ['topic-deleted', { topic, generation, text: `topic ${topic} deleted` }]
  }
  const { name: topic, records } = news.remains
  return ['records-kept', { topic, records, text: `${records} records of a deleted topic are kept as ${topic}` }]
}

export const doubleTold = (addresses: readonly string[]): Told => [
  'double-identity',
  {
    addresses,
    text: `another process has the identity of this peer, at ${addresses.join(' ') || 'an unknown address'}`,
  },
]

export const diskTold = (full: boolean): Told =>
  full
    ? ['disk-full', { text: 'disk nearly full: publishes are refused' }]
    : ['disk-has-room', { text: 'disk has room again' }]

export const badFrameTold = (peer: PeerId | undefined, what: string, nameOf: NameOf): Told => [
  'bad-frame',
  { ...(peer && { peer, name: nameOf(peer) }), reason: what, text: `frame not understood: ${what}` },
]

const secondsText = (ms: Millis): string => `${(ms / 1_000).toFixed(1)} s`
