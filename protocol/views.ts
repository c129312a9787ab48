/**
 * What a peer shows of what it believes (P8): plain values, ready for JSON. Ages are in whole milliseconds before now, round
 * trips in milliseconds with two decimals.
 */

import type { TopicId } from './ids.ts'
import type { ConfigJson } from './topic-config.ts'
import type { TopicName } from './topic-name.ts'

export interface MemberView {
  readonly id: string
  readonly name: string
  readonly self: boolean
  readonly state: 'alive' | 'suspect' | 'dead' | 'left'
  /** Whether it belongs: `leaving` while it is decommissioned. Others that are `forgotten` are listed apart. */
  readonly status: 'member' | 'leaving' | 'forgotten'
  readonly incarnation: number
  /** For how long it has been in this state, as seen here. */
  readonly sinceMs: number
  /** Why, such as `no answer to 3 indirect probes`. */
  readonly reason?: string
  /** Names of the members that accuse it. */
  readonly suspectedBy?: readonly string[]
  /** When the suspicion turns into `dead` unless refuted. */
  readonly deadInMs?: number
  readonly http: string
  readonly addresses: readonly string[]
  readonly zone: string
  readonly linked: boolean
  readonly rttMs?: number
}

/** A member by id and, for people, by name. */
interface NamedPeer {
  readonly peer: string
  readonly name: string
}

export interface GossipView {
  readonly self: {
    readonly id: string
    readonly name: string
    readonly incarnation: number
    /** Local health: 0 is best; probes of this peer take so many times longer, plus one. */
    readonly awareness: number
    /** Another process has the identity of this peer, a cloned machine for instance: when that was noticed last, and where it is. */
    readonly double?: { readonly agoMs: number; readonly addresses: readonly string[] }
  }
  readonly members: readonly MemberView[]
  /** Who does not belong any more, and may be admitted again. */
  readonly forgotten: readonly MemberView[]
  /** Updates that still ride on messages, and how many more times. */
  readonly rumors: readonly (NamedPeer & {
    readonly state: string
    readonly incarnation: number
    readonly sendsLeft: number
  })[]
  /** Probes under way and the last round trips. */
  readonly probes: readonly (NamedPeer & { readonly phase: 'direct' | 'indirect'; readonly sinceMs: number })[]
  readonly roundTrips: readonly RoundTrip[]
  readonly pushPulls: readonly (NamedPeer & { readonly agoMs: number })[]
  /** The last state changes seen here with their reasons, newest last; at most 256. */
  readonly events: readonly GossipEvent[]
}

export interface RoundTrip extends NamedPeer {
  readonly rttMs: number
  readonly agoMs: number
}

export interface GossipEvent extends NamedPeer {
  readonly agoMs: number
  readonly from: string
  readonly to: string
  readonly incarnation: number
  /** Whose word it was. */
  readonly by: string
  readonly reason: string
}

export interface LinkView {
  readonly peer: string
  readonly name: string
  readonly state: 'up' | 'down' | 'dialing'
  readonly sinceMs: number
  readonly rttMs?: number
  /** Bytes of batches that we may still send, and that the other side may still send. */
  readonly creditOut: number
  readonly creditIn: number
  /** For a link that is down: when it is dialed next, how often it was tried, and why the last try failed. */
  readonly nextDialInMs?: number
  readonly dialAttempts?: number
  readonly lastError?: string
}

/** Who can be reached from the peer that answers, and who cannot (`protocol/partitions`). */
export interface PartitionsView {
  readonly split: boolean
  /** The side of the peer that answers first. The others in the order in which they were lost. */
  readonly islands: readonly IslandView[]
}

export interface IslandView {
  /** `away`: they were lost together, and may reach each other. Whether they run at all nobody here knows. */
  readonly side: 'ours' | 'away'
  /** Since when it is apart, by the clock of the peer that answers; left out of ours while there is no split. */
  readonly since?: string
  readonly sinceMs?: number
  /** They were not heard of since the peer that answers started; it may be longer. */
  readonly sinceStart?: true
  readonly members: readonly (NamedPeer & {
    readonly sinceMs?: number
    /** Whose word it was that it is dead, and why. */
    readonly by?: string
    readonly reason?: string
  })[]
}

/** A cut that is over, and what it has brought to both sides, as the peer that answers has seen it. */
export interface HealView {
  readonly id: number
  /** `interrupted`: some of them were lost again before all was merged. */
  readonly state: 'merging' | 'merged' | 'interrupted'
  /** When the first of them was lost, and the last of them was back, by the clock of the peer that answers. */
  readonly from: string
  readonly until: string
  readonly durationMs: number
  readonly sinceStart?: true
  /** From `until` to when both sides had all of each other. */
  readonly mergedInMs?: number
  /** Why the first of them was lost. */
  readonly reason: string
  readonly ours: readonly NamedPeer[]
  /** Records written elsewhere that each of them has confirmed to have on disk since, and those that it still lacks. */
  readonly theirs: readonly (NamedPeer & { readonly taken: number; readonly left: number })[]
  /** Records written over there that have come to the disk of the peer that answers since; `left` are still to come. */
  readonly received: { readonly records: number; readonly left: number; readonly feeds: number }
  /** The sum over all of theirs: what two of them take counts twice. */
  readonly taken: { readonly records: number; readonly left: number }
  /** Of those received: copies of what was here already, by the numbers of their producers. Readers are given one (P6). */
  readonly duplicates: number
  /** More feeds differed than are counted. */
  readonly partial?: true
}

/**
 * What an event of the mesh is about. These names are stable; more may come.
 * - members: `joined` `suspected` `refuted` `dead` `returned` `left`, and by decision `leaving` `forgotten` `admitted`
 * - links: `link-opened` `link-closed`; and `stranger-refused`, `bad-frame`, `double-identity`
 * - splits: `partition` `healed` `merged`
 * - disk: `damaged` `repaired` `disk-full` `disk-has-room`; and `topic-deleted` `records-kept`
 * - `started`: the first event of a boot
 */
export type MeshEventType =
  | 'started'
  | 'joined'
  | 'suspected'
  | 'refuted'
  | 'dead'
  | 'returned'
  | 'left'
  | 'leaving'
  | 'forgotten'
  | 'admitted'
  | 'link-opened'
  | 'link-closed'
  | 'stranger-refused'
  | 'bad-frame'
  | 'double-identity'
  | 'partition'
  | 'healed'
  | 'merged'
  | 'damaged'
  | 'repaired'
  | 'disk-full'
  | 'disk-has-room'
  | 'topic-deleted'
  | 'records-kept'

/** Something that happened in the mesh, as the peer that tells it has seen it. */
export interface MeshEvent {
  /** `<epoch>.<number>`: numbers of one boot have no holes. */
  readonly id: string
  readonly type: MeshEventType
  /** By the clock of the peer that tells it. */
  readonly time: string
  /** In words: `ash suspected by elm: no answer to 3 indirect probes`. */
  readonly text: string
  /** Whom it is about, where that is one peer. */
  readonly peer?: string
  readonly name?: string
  /** Whose word it was. */
  readonly by?: string
  readonly reason?: string
  /** What else there is to say, by type. */
  readonly [field: string]: unknown
}

/** Events that are not told. `other-boot`: the id was of another boot of the peer, or of another peer. */
export interface MeshEventGap {
  readonly reason: 'moved-on' | 'other-boot'
  /** How many, if that is known. */
  readonly missed?: number
}

export interface MeshEventPage {
  readonly events: readonly MeshEvent[]
  /** The id to go on after; left out while nothing has happened yet. */
  readonly last?: string
  readonly gap?: MeshEventGap
}

/** What a peer on its way out still has to hand over. */
export interface LeavingView {
  /** `forgotten`: it is done, or was given up before. */
  readonly status: 'leaving' | 'forgotten'
  readonly feeds: number
  readonly records: number
  /** Names of the members that lack some of it, or have not confirmed what they hold. Nobody goes for good before they have. */
  readonly waitsFor: readonly string[]
}

/** What flows between peers and what waits for whom, as the peer that answers knows it (DESIGN §7). */
export interface ReplicationView {
  /** Told by a peer on its way out only. */
  readonly leaving?: LeavingView
  readonly totals: ReplicationTotals
  /** Those that are behind or full or cut off first. */
  readonly neighbors: readonly NeighborView[]
  /** What keepers of topics are known to miss, this peer among them; most first. */
  readonly behind: readonly BehindView[]
  /** What this peer is fetching, of whomever's feeds: a few at a time. */
  readonly catchUps: readonly CatchUpView[]
  /** Damage on the disk of this peer. */
  readonly repairs: readonly RepairView[]
  /** Feeds that this peer need not keep, and lets go of once home has all of them. */
  readonly handoffs: readonly HandoffView[]
  /** Rows of each list that were too many to be told; totals count them. */
  readonly leftOut: Readonly<Record<'neighbors' | 'behind' | 'repairs' | 'handoffs', number>>
}

export interface ReplicationTotals {
  /** Is the disk of this peer full? Then it fetches nothing. */
  readonly diskFull: boolean
  /** Over all keepers of all topics. */
  readonly behindRecords: number
  /** Feeds of which this peer has more to fetch. */
  readonly behindFeeds: number
  readonly damagedRecords: number
  /** Of those, records that no registered member has any more. */
  readonly lostRecords: number
  /** Damaged ranges since the start. */
  readonly rangesFound: number
  readonly rangesRepaired: number
  /** Feeds let go of since the start. */
  readonly handedOff: number
  /** Finished feeds, emptied by retention, that were forgotten since the start. */
  readonly forgotten: number
  /** Copies that are being read here, so that others may let go of theirs. */
  readonly verifications: number
  readonly followedTopics: number
  readonly remoteReads: number
  readonly waitingPublishes: number
}

export interface NeighborView extends NamedPeer {
  readonly linked: boolean
  /** False: it has not told all that it holds since the link came up, or there is no link. */
  readonly current: boolean
  readonly diskFull: boolean
  readonly behindRecords: number
  /** Feeds of this peer's writing of which it may lack a part that is still to be sent. */
  readonly unpushedFeeds: number
}

/** Of a topic whose name is not known here, `topic` is its id. */
interface TopicPlace {
  readonly topic: string
}

interface FeedPlace extends TopicPlace {
  /** `<peerId>.<epoch>` */
  readonly feed: string
}

export interface BehindView extends NamedPeer, TopicPlace {
  readonly records: number
  /** False: the peer cannot be asked now, and this is by its last word. */
  readonly current: boolean
}

export interface CatchUpView extends FeedPlace {
  /** Who is asked now. */
  readonly from: string
  readonly position: number
  /** The furthest that a linked neighbor holds. */
  readonly target: number
  readonly recordsLeft: number
  readonly sinceMs: number
  /** Since it began; left out while nothing has come. */
  readonly recordsPerSecond?: number
}

/** `fetching` from `source`; `waiting` for its turn, or for a peer that holds it; `lost`: no registered member holds it. */
export interface RepairView extends FeedPlace {
  readonly state: 'fetching' | 'waiting' | 'lost'
  readonly from: number
  readonly to: number
  readonly source?: string
  /** How far it has come. */
  readonly position?: number
}

/**
 * `copying`: those it waits for have not got all of it. `queued`: they have, and are asked soon. `asking`: they read their
 * copies. `grace`: all have confirmed, and are asked for the last time when it is over.
 */
export interface HandoffView extends FeedPlace {
  readonly step: 'copying' | 'queued' | 'asking' | 'grace'
  readonly records: number
  readonly waitsFor: readonly string[]
  readonly nextInMs?: number
}

export interface SelfView {
  readonly peerId: string
  readonly name: string
  readonly cluster: string
  readonly epoch: string
  readonly http: string
  readonly listen: readonly string[]
  readonly version: string
  readonly startedAt: string
  readonly storage: string
}

/** The disk of a peer, if it has one. */
export interface DiskView {
  readonly totalBytes: number
  readonly freeBytes: number
  /** What is kept free of it. */
  readonly reserveBytes: number
  /** Publishes are refused. */
  readonly full: boolean
}

/** What is asked of a peer to see whether it is well. */
export interface SelfNowView extends SelfView {
  /** What its clock shows. */
  readonly now: string
  readonly disk?: DiskView
}

export interface TopicSummary {
  readonly topic: TopicName
  readonly topicId: TopicId
  /** How often a topic of this name was deleted before. */
  readonly generation: number
  /** False: the peer that was asked reads it through others, and of what they hold knows what it was told. */
  readonly kept: boolean
  /** Offsets of all feeds known here, added up. */
  readonly records: number
  readonly feeds: number
}

export interface TopicView extends TopicSummary {
  /** What holds, defaults included. */
  readonly config: ConfigJson
  /** Of each feed known here the first offset that retention has left, and the one after its last; the latest feeds, at most 256. */
  readonly offsets: readonly { readonly feed: string; readonly earliest: number; readonly next: number }[]
  /** Feeds that are not listed, if there are any. */
  readonly offsetsLeftOut?: number
  /** Names this configuration; the same at every peer that knows the same edits. */
  readonly version: string
  /** When it was last changed by hand, by the clock of the peer that took the change. */
  readonly edited?: string
}

/** What is left of a topic that was deleted: records that others published without knowing. Readable by this name. */
export interface RemainsView {
  /** `$deleted.<topic>.<generation>` */
  readonly topic: TopicName
  readonly topicId: TopicId
  readonly records: number
  readonly feeds: number
  /** Until the first of them go, while this peer runs. */
  readonly goesInMs: number
}

/** One row per feed, one column per replica. */
export interface TopicStatus extends TopicSummary {
  /** True when every home member is known to hold all that this peer knows of, hash by hash. */
  readonly converged: boolean
  /** Who belonged to the mesh when the home was found; where it is equal, homes are. */
  readonly registryVersion: string
  /** This peer first, then the home of the topic, who stands in, and who else holds something. */
  readonly replicas: readonly ReplicaStatus[]
}

/**
 * `home`: the topic belongs to it, and `majority` and `all` count it. `standIn`: it keeps the topic for a home member that
 * is long away. `other`: it only holds something, such as what it has written.
 */
export type ReplicaRole = 'home' | 'standIn' | 'other'

export interface ReplicaStatus {
  readonly peer: string
  readonly name: string
  readonly role: ReplicaRole
  readonly state: string
  /** False: this peer has not heard the replica's heads since it lost the link; what follows is the last it heard. */
  readonly current: boolean
  /** Records of the topic that a keeper is known to miss, against the furthest head known for each feed. */
  readonly lag: number
  readonly feeds: readonly FeedHead[]
}

export interface FeedHead {
  readonly feed: string
  readonly floor: number
  /** First offset that is there, if more than the floor says was let go of: by a writer that is not at home. */
  readonly keptFrom?: number
  readonly nextOffset: number
  readonly hash: string
  /** Offsets that are damaged there, until they are repaired; left out if there are none. */
  readonly holes?: readonly { readonly from: number; readonly to: number }[]
}

export interface ReplicationStatus {
  readonly id: string
  readonly copies: number
  readonly peers: readonly {
    readonly peer: string
    readonly name: string
    readonly role: ReplicaRole
    readonly holds: boolean
    readonly current: boolean
  }[]
  readonly registryVersion: string
  /** Names that `majority` and `all` count. */
  readonly home: readonly string[]
}
