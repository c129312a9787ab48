import { readBatchHeader, splitBatches } from '#protocol/log/batch'
import type { ControlMessage } from '#protocol/wire/control-frame'
import type { WireFault } from '#protocol/wire/fault'
import { decodeDataFrame } from '#protocol/wire/data-frame'
import type { TopicId } from '#protocol/ids'
import type { FeedId } from '#protocol/log/feed'
import type { MemberUpdate } from '#protocol/membership/messages'
import { murmur3 } from '#protocol/murmur3'

/** Frames in the words of the trace. */
export class Describer {
  readonly #topics: ReadonlyMap<TopicId, string>

  constructor(topics: ReadonlyMap<TopicId, string>) {
    this.#topics = topics
  }

  feed({ topicId, writer, epoch }: FeedId): string {
    return `${this.#topic(topicId)}/${writer}.${epoch.slice(0, 4)}`
  }

  #topic(topicId: TopicId): string {
    return this.#topics.get(topicId) ?? topicId.slice(0, 4)
  }

  #topicsText(topics: readonly TopicId[]): string {
    return topics.map((topicId) => this.#topic(topicId)).join(' ')
  }

  control(message: ControlMessage | WireFault): string {
    switch (message.type) {
      case 'ping':
      case 'ack':
      case 'nack':
        return `${message.type} ${message.ref}${updatesText(message.updates)}`
      case 'pingRequest':
        return `pingRequest ${message.ref} of ${message.target}${updatesText(message.updates)}`
      case 'gossip':
        return `gossip${updatesText(message.updates)}`
      case 'pushPull':
        return `pushPull${message.reply ? '?' : ''} ${message.standing}${updatesText(message.members)}`
      case 'pushPullDigest':
        return `pushPullDigest${message.reply ? '?' : ''} ${message.standing} ${murmur3(message.buckets, 0).toString(16)}`
      case 'digest': {
        const heads = message.feeds.map(({ feed, nextOffset }) => `${this.feed(feed)}→${nextOffset}`)
        const { listing } = message
        const gone = (message.gone ?? []).map((feed) => ` ${this.feed(feed)} gone`)
        return `digest${listing === undefined ? '' : ` of ${listing.replaced.length} buckets`} ${heads.join(' ')}${gone.join('')}`
      }
      case 'summary':
        return `summary ${message.root}`
      case 'summaryDiffers':
        return 'summaryDiffers'
      case 'want':
        return `want ${message.ref} ${this.feed(message.feed)} beyond ${message.position}`
      case 'follow':
        return `follow ${message.on ? 'on' : 'off'} ${this.#topicsText(message.topics)}`
      case 'followed':
        return `followed ${this.#topicsText(message.topics)}`
      case 'rest':
        return message.agreed ? 'rest, agreed' : 'rest?'
      case 'pushPullMore':
      case 'digestMore':
      case 'followMore':
        return message.type
      case 'disk':
        return message.full ? 'disk full' : 'disk not full'
      case 'wantMissing':
        return `wantMissing ${message.ref}`
      case 'handoff':
        return `handoff ${message.ref} of ${this.feed(message.feed)} up to ${message.nextOffset}?`
      case 'clock':
        return `clock ${message.wallMs}`
      case 'handoffConfirmed':
        return `handoffConfirmed ${message.ref}`
      case 'flush':
      case 'flushed':
        return `${message.type} ${message.ref}`
      case 'credit':
        return `credit ${message.bytes}`
      case 'fault':
        return `FAULT ${message.fault} ${message.where}`
    }
  }

  data(frame: Uint8Array): string {
    const decoded = decodeDataFrame(frame)
    if (decoded.type === 'fault') return `FAULT ${decoded.fault} ${decoded.where}`
    const batches = splitBatches(decoded.batches)
    const headers = typeof batches === 'string' ? [] : batches.map((bytes) => readBatchHeader(bytes))
    const [first, last] = [headers[0], headers.at(-1)]
    const from = typeof first === 'object' ? (first.opening ? 'opening' : first.baseOffset) : '?'
    const to = typeof last === 'object' ? last.nextOffset : '?'
    const why = decoded.ref === 0 ? 'pushed' : `for want ${decoded.ref}`
    return `${this.feed(decoded.feed)} [${from}, ${to}) ${decoded.batches.length} B ${why}`
  }
}

const updatesText = (updates: readonly MemberUpdate[]): string =>
  updates.map(({ peer, state, incarnation }) => ` ${peer}:${state}@${incarnation}`).join('')
