import type { AckLevel } from '#protocol/ack-level'
import type { ProducerName } from '#protocol/log/producer-id'
import type { OffsetRange } from '#protocol/log/feed'
import type { LogRecord } from '#protocol/log/record'
import type { AskedConfig } from '#protocol/topic-config'
import type { TopicName, TopicPattern } from '#protocol/topic-name'
import type {
  GossipView,
  HealView,
  LinkView,
  MemberView,
  MeshEvent,
  PartitionsView,
  RemainsView,
  ReplicationStatus,
  ReplicationView,
  SelfNowView,
  SelfView,
  TopicStatus,
  TopicSummary,
  TopicView,
} from '#protocol/views'
import type { RecordRun } from '#protocol/wire/socket-frames'

export type { ReplicaStatus, ReplicationStatus, SelfView, TopicStatus, TopicSummary, TopicView } from '#protocol/views'

/** The port through which the gateway sees its peer (DESIGN §2): the gateway declares it, `node/` implements it. */
export interface Broker {
  readonly self: SelfView
  /** Resolves once it knows what is on its disk. */
  started(): Promise<void>
  /** What its clock shows, and how its disk is. */
  condition(): Pick<SelfNowView, 'now' | 'disk'>
  /** Does it take publishes? A partitioned peer does. */
  ready(): { readonly ready: boolean; readonly reason?: Unreadiness }

  /**
   * Makes the topic, or finds it made as asked. Resolves once that is on this peer's disk. Rejects with TOPIC_DIFFERS,
   * TOO_MANY_TOPICS.
   */
  putTopic(topic: TopicName, asked: AskedConfig): Promise<{ readonly created: boolean }>
  /**
   * Changes what is asked and nothing else, if the topic still has the `version` that the client has read; without one,
   * whatever it has. Rejects with TOPIC_NOT_FOUND, TOPIC_CHANGED.
   */
  patchTopic(topic: TopicName, asked: AskedConfig, version: string | undefined): Promise<void>
  /**
   * Deletes the topic: what this peer holds of it goes everywhere, and its name is free. Resolves once that is on this
   * peer's disk, with the generation that was deleted. Rejects with TOPIC_NOT_FOUND.
   */
  deleteTopic(topic: TopicName): Promise<{ readonly generation: number }>
  /** Undefined when neither this peer nor those who would keep it know the topic, as far as they can be asked. */
  topic(topic: TopicName): Promise<TopicView | undefined>
  /** Topics of clients that are known here, sorted by name. */
  topics(match?: TopicPattern): readonly TopicSummary[]
  /** What is left of deleted topics here, sorted by name; of topics that match. */
  deletedTopics(match?: TopicPattern): readonly RemainsView[]
  /** Names of both, and of the mesh's own topics that clients may read. */
  readableTopics(): readonly TopicName[]
  /** Tells of each topic that becomes known here, once `open` finds it. Returns what ends it. */
  onTopic(listener: (topic: TopicName) => void): () => void
  /** Likewise. */
  topicStatus(topic: TopicName): Promise<TopicStatus | undefined>

  /**
   * Appends the records to this peer's feed in one go and in order, then waits for the ack level until `waitMs` has
   * passed or the broker drains. Resolves when durable here at least. Records that are held here already are answered with
   * their originals (P6). Rejects with MeshError: RECORD_TOO_LARGE, ACK_LEVEL_IMPOSSIBLE, PRODUCER_FENCED, PRODUCER_GAP,
   * RETRY_DIFFERS, OVERLOADED, DRAINING, STORAGE_FAILED.
   */
  publish(request: PublishRequest): Promise<PublishResult>
  /** The same with records that the client has encoded: rejects with BAD_REQUEST, too, for what is none. */
  publishEncoded(request: EncodedPublish): Promise<PublishResult>

  /** Reads on from a cursor text or a start; records come in reading order (DESIGN §8). Rejects with CURSOR_INVALID, TOPIC_NOT_FOUND, TOPIC_DELETED. */
  open(topic: TopicName, from: ReadFrom): Promise<BatchReader>
  /** Is that a cursor as some peer gives it, of whatever topic? */
  isCursor(text: string): boolean
  /**
   * What is kept of an interval of time, sorted by (hybrid-clock time, feed, offset). Rejects with TOPIC_NOT_FOUND. Of a
   * record that was accepted on two sides of a split it has both copies.
   */
  interval(topic: TopicName, wanted: IntervalRequest): Promise<IntervalChunk>
  /** The cursor that clients have stored under that name, or undefined when none is known here. */
  namedCursor(topic: TopicName, name: string): Promise<string | undefined>
  /**
   * Stores a cursor of the topic under a name, for all peers. Resolves once that is on this peer's disk, with what the name stands
   * for then. Rejects with CURSOR_INVALID, TOO_MANY_CURSORS, DISK_FULL, DRAINING.
   */
  putNamedCursor(topic: TopicName, name: string, cursor: string): Promise<string>
  /** False if there is none. Rejects as `putNamedCursor`. */
  deleteNamedCursor(topic: TopicName, name: string): Promise<boolean>
  /** The record, or undefined when it is neither held here nor by anybody who can be reached. `id` is `<writer>.<epoch>.<offset>`. */
  record(topic: TopicName, id: RecordId): Promise<StoredRecord | undefined>
  replication(topic: TopicName, id: RecordId): Promise<ReplicationStatus | undefined>
  /**
   * Waits until the record has the copies that the level asks for, until `waitMs` has passed or the broker drains; for a record
   * that has not been heard of also until the signal aborts. Undefined as for `record`. Rejects with MeshError ACK_LEVEL_IMPOSSIBLE, DRAINING, STORAGE_FAILED.
   */
  awaitCopies(
    topic: TopicName,
    id: RecordId,
    level: AckLevel,
    waitMs: number,
    signal?: AbortSignal,
  ): Promise<PublishAck | undefined>

  /** Those that belong, and this peer. */
  members(): readonly MemberView[]
  /** Others that do not belong any more. */
  forgotten(): readonly MemberView[]
  /**
   * Decides whether the member with that id belongs. Resolves with it as it is then, once that is on this peer's disk. Rejects
   * with MEMBER_NOT_FOUND, MEMBER_ALIVE, LAST_MEMBER.
   */
  decide(id: string, decision: MemberDecision): Promise<MemberView>
  reachability(): Reachability
  /** Tells when `reachability` may have changed. Returns what ends it. */
  onMeshChange(listener: () => void): () => void
  gossip(): GossipView
  links(): readonly LinkView[]
  partitions(): PartitionsView
  /** The last cuts that are over, newest first. */
  heals(): readonly HealView[]
  meshReplication(): ReplicationView
  readonly events: MeshEventLog

  /** Tells all peers that the token with that id is good no more. Resolves once that is on this peer's disk. */
  revokeToken(id: string, untilMs: number): Promise<void>

  /** Lab mode only: undefined where the peer was started without --lab. */
  readonly lab?: Lab | undefined
}

/**
 * `decommission`: it hands over what it holds and is then forgotten. `forget`: it is gone, with what only it holds. `admit`: it belongs
 * again, whatever was decided before.
 */
export type MemberDecision =
  | { readonly type: 'decommission' | 'admit' }
  /** `force`: also if it is alive. */
  | { readonly type: 'forget'; readonly force: boolean }

/** Why a peer takes no publishes. One that is `decommissioned` or `forgotten` serves readers all the same. */
export type Unreadiness = 'starting' | 'draining' | 'decommissioned' | 'forgotten'

/** Names of members as this peer believes, itself among them. */
export interface Reachability {
  /** Those of `known` that are not dead, and have been alive again if they were. */
  readonly reachable: readonly string[]
  /** All that belong to the mesh and have not said that they leave. */
  readonly known: readonly string[]
}

/** A producer as its client calls it, and a number of it: of a record, or of the first of several. */
export interface ClientProducer extends ProducerName {
  readonly epoch: number
  readonly seq: number
}

export interface RecordToPublish extends Omit<LogRecord, 'producer'> {
  readonly producer?: ClientProducer
}

/** Records that the client has encoded, and nobody has looked at. With a producer of all, each has room for it. */
export interface EncodedRecords {
  /** The broker's from now on: it writes the producers into them. */
  readonly bytes: Uint8Array
  readonly count: number
}

export interface PublishRequest extends PublishTerms {
  readonly records: readonly RecordToPublish[]
}

export interface EncodedPublish extends PublishTerms {
  readonly encoded: EncodedRecords
}

interface PublishTerms {
  readonly topic: TopicName
  /** Whose producers these are; `anonymous` unless said. */
  readonly principal?: string | undefined
  /** Of all records, which have none of their own then. */
  readonly producer?: ClientProducer | undefined
  readonly ack: AckLevel
  readonly waitMs: number
}

export interface PublishResult {
  /** Where the records are, in the order of the request. */
  readonly runs: readonly RecordRun[]
  /** Covers what this peer holds, the new records included. */
  readonly cursor: string
  readonly ack: PublishAck
}

export interface PublishAck {
  readonly level: string
  readonly reached: boolean
  readonly copies: number
  /** Names of the peers that hold the records fsynced, this one first if it does. */
  readonly peers: readonly string[]
  readonly registryVersion: string
  /** Names of the members that `majority` and `all` count. */
  readonly home: readonly string[]
}

export type ReadFrom =
  | { readonly type: 'earliest' }
  | { readonly type: 'latest' }
  /** What is dated so or later, in wall milliseconds: whole batches. */
  | { readonly type: 'time'; readonly ms: number }
  | { readonly type: 'cursor'; readonly cursor: string }
  /** Where the cursor with that name stands. Without one: at the earliest record if that is said, else CURSOR_NOT_FOUND. */
  | { readonly type: 'named'; readonly name: string; readonly orEarliest?: boolean }

export interface IntervalRequest {
  /** Wall milliseconds, both included. */
  readonly fromMs: number
  readonly toMs: number
  /** Only what comes after that record. */
  readonly after?: TimePosition | undefined
  readonly limit: number
  /** It ends after the record that reaches it. */
  readonly bytesTarget: number
}

/** Where a record stands in the order of time. */
export interface TimePosition {
  readonly ms: number
  readonly counter: number
  readonly feed: string
  readonly offset: number
}

export interface IntervalChunk {
  readonly records: readonly StoredRecord[]
  /** Of the last record, if more may come after it. */
  readonly next?: TimePosition
  /**
   * Nothing more can come into the interval: this peer keeps the topic, and of each registered member it knows all that was
   * written up to its end. False also where that is not known.
   */
  readonly complete: boolean
  readonly gaps: readonly ReadGap[]
}

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
  /** By which a record that comes twice is recognized. */
  readonly producer?: ProducerTriple
}

export interface ProducerTriple {
  /** In the log: 32 hex characters, made from what the client calls itself. */
  readonly id: string
  readonly epoch: number
  readonly seq: number
}

/** Several records and the cursor after each of them, so that a client can go on from any. */
export interface ReadChunk extends ChunkEnd {
  readonly records: readonly { readonly record: StoredRecord; readonly cursor: string }[]
}

/** The same as batches, each of which has a record for this reader. */
export interface BatchChunk extends ChunkEnd {
  readonly batches: readonly ReadBatch[]
}

export interface ReadBatch {
  readonly topic: TopicName
  /** `<peerId>.<epoch>` */
  readonly feed: string
  /** As stored, and shared. */
  readonly bytes: Uint8Array
  /** The reader has had those before it, */
  readonly from: number
  /** and these in other copies. */
  readonly skip: readonly OffsetRange[]
  /** Records for this reader. */
  readonly count: number
  /** After the batch. */
  readonly cursor: string
}

interface ChunkEnd {
  /** The cursor after the chunk, also when it is empty. */
  readonly cursor: string
  /** True when nothing more could be had here beyond this chunk. */
  readonly upToDate: boolean
  /** Told when it is up to date: this peer keeps no copy, and reaches nobody who does. There may be more. */
  readonly isolated?: boolean
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
   * Rejects with TOPIC_DELETED once the topic is deleted: one that is made again under its name is another one.
   *
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

export interface BatchReader extends Reader {
  /** As `next`, in batches: it ends after the one that reaches `limit` records, or `bytesTarget`. */
  nextBatches(limit: number, bytesTarget: number): Promise<BatchChunk>
}

/** The last events of the mesh. A position is the number of events before it. */
export interface MeshEventLog {
  /** Before the oldest that is kept. */
  readonly start: number
  /** After the newest. */
  readonly end: number
  /** The id of the event before that position. */
  idAt(position: number): string
  /** The position after the event with that id; undefined if it is of another boot, or of nobody. */
  positionOf(id: string): number | undefined
  /** At most so many, from there on or from the oldest that is kept. */
  read(position: number, max: number): readonly MeshEvent[]
  /** Tells when there is another. Returns what ends it. */
  onEvent(listener: () => void): () => void
}

export interface Lab {
  /**
   * Discards all traffic with these peers, both ways, and refuses dials: silence, as a real cut. Names of members, or peer ids,
   * also of who is no member yet. MEMBER_NOT_FOUND for an unknown name.
   */
  drop(namesOrIds: readonly string[]): readonly string[]
  /**
   * From now on what these peers send comes that way, and what others send at once. Names of members, or peer ids, also of who
   * is no member yet. At loss 1 nothing of it is heard, and no dial gets through either way. MEMBER_NOT_FOUND for an unknown name.
   */
  setLinks(links: readonly LabLink[]): readonly LabLink[]
  /** Lets everything through again at once, and resets the streams that lost frames. */
  heal(): void
  dropped(): readonly string[]
  links(): readonly LabLink[]
}

/** One direction of a link, as the peer at its end suffers it. */
export interface LabLink {
  readonly from: string
  /** How likely one sending of a frame is lost, in [0, 1]. */
  readonly loss: number
  /** One way. */
  readonly delayMs: number
}
