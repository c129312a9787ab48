/**
 * What a peer shows of what it believes (P8): plain values, ready for JSON. Ages are in whole milliseconds before now, round
 * trips in milliseconds with two decimals.
 */

export interface MemberView {
  readonly id: string
  readonly name: string
  readonly self: boolean
  readonly state: 'alive' | 'suspect' | 'dead' | 'left'
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
  readonly self: { readonly id: string; readonly name: string; readonly incarnation: number }
  readonly members: readonly MemberView[]
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

export interface TopicSummary {
  readonly topic: string
  readonly topicId: string
  /** Offsets of all feeds known here, added up. */
  readonly records: number
  readonly feeds: number
}

/** One row per feed, one column per replica. */
export interface TopicStatus extends TopicSummary {
  /** True when every registered member is known to hold exactly what this peer holds, hash by hash. */
  readonly converged: boolean
  readonly replicas: readonly ReplicaStatus[]
}

export interface ReplicaStatus {
  readonly peer: string
  readonly name: string
  readonly state: string
  /** False: this peer has not heard the replica's heads since it lost the link; what follows is the last it heard. */
  readonly current: boolean
  /** Records of the topic that the replica is known to miss, against the furthest head known for each feed. */
  readonly lag: number
  readonly feeds: readonly {
    readonly feed: string
    readonly floor: number
    readonly nextOffset: number
    readonly hash: string
  }[]
}

export interface ReplicationStatus {
  readonly id: string
  readonly copies: number
  readonly peers: readonly {
    readonly peer: string
    readonly name: string
    readonly holds: boolean
    readonly current: boolean
  }[]
  /** Names that `all` counts. */
  readonly home: readonly string[]
}
