import type { Brand, Epoch, Hash, PeerId, TopicId } from '#protocol/ids'
import { parseEpoch, parsePeerId, parseTopicId } from '#protocol/ids'

/** A feed is the append-only log of one writer peer in one topic during one run of that peer (DESIGN §4). */
export interface FeedId {
  readonly topicId: TopicId
  readonly writer: PeerId
  readonly epoch: Epoch
}

/** `topicId/writer/epoch`: a FeedId as a map key. */
export type FeedKey = Brand<string, 'FeedKey'>

export const feedKeyOf = (feed: FeedId): FeedKey => `${feed.topicId}/${feed.writer}/${feed.epoch}` as FeedKey

export function parseFeedKey(text: string): FeedId | undefined {
  const [topic, peer, boot, ...rest] = text.split('/')
  const topicId = parseTopicId(topic)
  const writer = parsePeerId(peer)
  const epoch = parseEpoch(boot)
  if (topicId === undefined || writer === undefined || epoch === undefined || rest.length > 0) return undefined
  return { topicId, writer, epoch }
}

/** How far a feed goes and the chain hash there: SHA-256 of the last batch. Equal heads mean equal contents. */
export interface Head {
  readonly nextOffset: number
  readonly hash: Hash
}

/** Offsets `from <= offset < to`. Where it names stored records, both ends lie on batch boundaries. */
export interface OffsetRange {
  readonly from: number
  readonly to: number
}

/** The feed that the same writer wrote before its last boot, and where it went on from it. */
export interface Predecessor {
  readonly epoch: Epoch
  readonly nextOffset: number
  readonly hash: Hash
}

/**
 * What the first batch of a feed says; that batch has no records. Offsets continue from the predecessor:
 * its `baseOffset` is `predecessor.nextOffset`, or 0. Topic name and generation let any holder name the topic.
 */
export interface Opening {
  readonly topic: string
  readonly generation: number
  readonly writer: PeerId
  readonly epoch: Epoch
  readonly predecessor?: Predecessor
}

/**
 * "Has nothing of this feed", where a position otherwise is the nextOffset held. A peer that holds just the opening
 * batch of a feed has the position `baseOffset`, so positions tell the two apart: a batch is found by `end > position`.
 */
export const NOTHING = -1
