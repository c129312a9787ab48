import type { AckLevel } from '#protocol/ack-level'
import type { LogRecord } from '#protocol/log/record'
import type { TopicName, TopicPattern } from '#protocol/topic-name'
import type {
  GossipView,
  LinkView,
  MemberView,
  ReplicationStatus,
  SelfView,
  TopicStatus,
  TopicSummary,
} from '#protocol/views'

export type { ReplicaStatus, ReplicationStatus, SelfView, TopicStatus, TopicSummary } from '#protocol/views'

/** The port through which the gateway sees its peer (DESIGN §2): the gateway declares it, `node/` implements it. */
export interface Broker {
  readonly self: SelfView
  /** Alive and accepting: false before it has `starting` behind it and once it is `draining`. A partitioned peer is ready. */
  ready(): { readonly ready: boolean; readonly reason?: string }

  /** Makes the topic known in the mesh by opening this peer's feed of it. Resolves once that is on this peer's disk. */
  createTopic(topic: TopicName): Promise<{ readonly created: boolean }>
  /** Topics known here, sorted by name. */
  topics(match?: TopicPattern): readonly TopicSummary[]
  /** Tells of each topic that becomes known here, once `open` finds it. Returns what ends it. */
  onTopic(listener: (topic: TopicName) => void): () => void
  /** Undefined when this peer does not know the topic. */
  topicStatus(topic: TopicName): TopicStatus | undefined

  /**
   * Appends the records to this peer's feed in one go and in order, then waits for the ack level until `waitMs` has
   * passed or the broker drains. Resolves when durable here at least. Rejects with MeshError: RECORD_TOO_LARGE, ACK_LEVEL_IMPOSSIBLE,
   * OVERLOADED, DRAINING, STORAGE_FAILED.
   */
  publish(request: PublishRequest): Promise<PublishResult>

  /** Reads on from a cursor text or a start; records come in reading order (DESIGN §8). Rejects with CURSOR_INVALID, TOPIC_NOT_FOUND. */
  open(topic: TopicName, from: ReadFrom): Promise<Reader>
  /** The record with its neighbors' copies, or undefined when it is not held here. `id` is `<writer>.<epoch>.<offset>`. */
  record(topic: TopicName, id: RecordId): Promise<StoredRecord | undefined>
  replication(topic: TopicName, id: RecordId): ReplicationStatus | undefined

  members(): readonly MemberView[]
  reachability(): Reachability
  /** Tells when `reachability` may have changed. Returns what ends it. */
  onMeshChange(listener: () => void): () => void
  gossip(): GossipView
  links(): readonly LinkView[]

  /** Lab mode only: undefined where the peer was started without --lab. */
  readonly lab?: Lab | undefined
}

/** Names of members as this peer believes, itself among them. */
export interface Reachability {
  /** Those of `known` that are not dead. */
  readonly reachable: readonly string[]
  /** All that belong to the mesh and have not said that they leave. */
  readonly known: readonly string[]
}

export interface PublishRequest {
  readonly topic: TopicName
  readonly records: readonly LogRecord[]
  readonly ack: AckLevel
  readonly waitMs: number
}

export interface PublishResult {
  /** Ids of the records, in the order of the request. */
  readonly ids: readonly string[]
  /** Covers what this peer holds, the new records included. */
  readonly cursor: string
  readonly ack: {
    readonly level: string
    readonly reached: boolean
    readonly copies: number
    /** Names of the peers that hold the records fsynced, this one first. */
    readonly peers: readonly string[]
    readonly registryVersion: string
    /** Names of the members that `majority` and `all` count. */
    readonly home: readonly string[]
  }
}

export type ReadFrom =
  | { readonly type: 'earliest' }
  | { readonly type: 'latest' }
  | { readonly type: 'cursor'; readonly cursor: string }

export interface RecordId {
  readonly writer: string
  readonly epoch: string
  readonly offset: number
}

export interface StoredRecord {
  readonly id: string
  readonly topic: string
  /** `<peerId>.<epoch>` */
  readonly feed: string
  readonly offset: number
  /** Hybrid-clock time of its batch, wall milliseconds. */
  readonly timeMs: number
  readonly key?: Uint8Array
  readonly headers: Readonly<Record<string, string>>
  readonly value: Uint8Array
}

/** Several records and the cursor after each of them, so that a client can go on from any. */
export interface ReadChunk {
  readonly records: readonly { readonly record: StoredRecord; readonly cursor: string }[]
  /** The cursor after the chunk, also when it is empty. */
  readonly cursor: string
  /** True when nothing more was held here beyond this chunk. */
  readonly upToDate: boolean
  /** Records that this chunk should have held and cannot (P5). A reader tells a `late` range once, until it changes. */
  readonly gaps?: readonly ReadGap[]
}

/**
 * `lost`: the records [from, to) are not kept any more, and the cursor moved past them. `late`: they are held here and
 * cannot be read now, because they are damaged, or wait for a feed that comes before them or was read elsewhere and is not
 * here; the cursor did not move, other feeds go on.
 */
export interface ReadGap {
  readonly type: 'lost' | 'late'
  readonly feed: string
  readonly from: number
  readonly to: number
}

export interface Reader {
  /** The cursor of where the reader stands now. */
  readonly cursor: string
  /**
   * Up to `limit` records beyond the reader's position, at once, maybe none. It ends after the record that reaches
   * `bytesTarget`, by default `pageBytesMax`.
   */
  next(limit: number, bytesTarget?: number): Promise<ReadChunk>
  /**
   * Resolves when there may be more to read, or when the signal aborts (at once if it has) or the broker drains: then
   * ask `next` again.
   */
  more(signal: AbortSignal): Promise<void>
}

export interface Lab {
  /** Discards all traffic with these members, both ways, and refuses dials: silence, as a real cut. MEMBER_NOT_FOUND for an unknown name. */
  drop(namesOrIds: readonly string[]): readonly string[]
  /** Lets everything through again and resets the streams that lost frames. */
  heal(): void
  dropped(): readonly string[]
}
