import { assert } from '#protocol/assert'
import { limits } from '#protocol/limits'
import { textOf, utf8 } from '#protocol/text'
import type { Hash } from '#protocol/ids'
import type { FeedId, OffsetRange } from '#protocol/log/feed'
import type { OffsetRanges } from '#protocol/log/offset-ranges'
import type { MemberFacts, MemberUpdate, MembershipMessage, RegistryStatus } from '#protocol/membership/messages'
import type { FeedDigest, ReplicationMessage } from '#protocol/replication/messages'
import { bucketCount } from '#protocol/replication/set-hash'
import { faultOf } from './fault.ts'
import type { WireFault } from './fault.ts'
import { Bad, epoch, flag, hash, list, mapped, matching, object, oneOf, optional } from './validate.ts'
import { peerId, prose, satisfying, text, topicId, tuple, whole, yes } from './validate.ts'
import type { Check } from './validate.ts'

/** What travels on the control stream of a link: one JSON object per frame (ADR 0005; every field in README.md). */
export type ControlMessage = MembershipMessage | ReplicationMessage

/** Senders split what is long; a message over a bound is our own mistake. */
export function encodeControl(message: ControlMessage): Uint8Array<ArrayBuffer> {
  const frame = utf8(JSON.stringify(wireForm(message)))
  assert(frame.length <= limits.controlFrameBytesMax, `a ${message.type} fits into a control frame`)
  return frame
}

/** Never throws. Unknown fields are ignored; nothing of the result is shared with what JSON.parse made. */
export function decodeControl(frame: Uint8Array): ControlMessage | WireFault {
  if (frame.length > limits.controlFrameBytesMax) return faultOf('tooLarge', `${frame.length} bytes`)
  const json = textOf(frame)
  if (json === undefined) return faultOf('notUtf8')
  const parsed = parseJson(json)
  if (parsed === undefined) return faultOf('notJson')
  const head = typed(parsed)
  if (head instanceof Bad) return faultOf('badField', head.path)
  const check = checks.get(head.type)
  if (check === undefined) return faultOf('unknownType', head.type)
  const message = check(parsed)
  return message instanceof Bad ? faultOf('badField', message.path) : message
}

/** Undefined when it is not JSON. V8 parses without recursion, so depth is bounded by the frame alone. */
function parseJson(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return undefined
  }
}

type WireDigest = readonly [...WireFeed, ...WireHead, more: WireMore | undefined]
type WireHead = readonly [floor: number, keptFrom: number, nextOffset: number, hash: Hash]
type WireFeed = readonly [FeedId['topicId'], FeedId['writer'], FeedId['epoch']]
type WireMore = Pick<FeedDigest, 'floorHash' | 'holes' | 'rooted'>

function wireForm(message: ControlMessage): object {
  switch (message.type) {
    case 'digest':
      assert(message.feeds.length <= limits.digestFeedsPerMessageMax, 'a large digest is split')
      return { ...message, feeds: message.feeds.map(wireDigest), gone: message.gone?.map(wireFeed) }
    case 'want':
    case 'handoff':
      return { ...message, feed: wireFeed(message.feed) }
    case 'follow':
    case 'followed':
      assert(message.topics.length <= limits.followTopicsPerMessageMax, 'many topics are followed by several messages')
      return message
    case 'pushPull':
      assert(message.members.length <= limits.membersPerMessageMax, 'a large push-pull is split')
      return message
    case 'ping':
    case 'ack':
    case 'pingRequest':
    case 'nack':
    case 'gossip':
      assert(message.updates.length <= limits.updatesPerMessageMax, 'updates are chosen within the bound')
      return message
    case 'pushPullDigest':
    case 'pushPullMore':
    case 'rest':
    case 'summary':
    case 'summaryDiffers':
    case 'digestMore':
    case 'followMore':
    case 'wantMissing':
    case 'disk':
    case 'flush':
    case 'flushed':
    case 'handoffConfirmed':
    case 'clock':
    case 'credit':
      return message
  }
}

const wireFeed = (feed: FeedId): WireFeed => [feed.topicId, feed.writer, feed.epoch]

/** A digest lists hundreds of feeds, so its entries go without names: about 190 bytes each. What is rare has some. */
function wireDigest({
  feed,
  floor,
  keptFrom,
  nextOffset,
  hash,
  floorHash,
  holes,
  rooted,
}: FeedDigest): readonly unknown[] {
  const head = [...wireFeed(feed), floor, keptFrom, nextOffset, hash]
  if (floorHash === undefined && holes === undefined && rooted === undefined) return head
  return [...head, { floorHash, holes: holes?.map(({ from, to }) => [from, to]), rooted }]
}

const typed = object({ type: text(32) })
const count = whole(0)
/** Refs of wants come back in data frames, where they are a u32 and 0 means a push. */
const wantRef = whole(1, 0xffff_ffff)

const feed = mapped(tuple<WireFeed>(topicId, peerId, epoch), ([topic, writer, boot]): FeedId => {
  return { topicId: topic, writer, epoch: boot }
})

const range = mapped(tuple<readonly [number, number]>(count, count), ([from, to]): OffsetRange => ({ from, to }))

/** In order and apart from each other: what is not makes a frame as bad as a wrong type. */
const holes = satisfying(list(range, limits.feedHolesMax), (ranges) =>
  ranges.every(({ from, to }, index) => from < to && from > (ranges[index - 1]?.to ?? -1)),
)

const more = object<WireMore>({
  floorHash: optional(hash) as Check<Hash>,
  holes: optional(holes) as Check<OffsetRanges>,
  rooted: optional(yes) as Check<true>,
})

const digest = mapped(
  tuple<WireDigest>(topicId, peerId, epoch, count, count, count, hash, optional(more)),
  ([topic, writer, boot, floor, keptFrom, nextOffset, chain, rare]): FeedDigest => {
    return { feed: { topicId: topic, writer, epoch: boot }, floor, keptFrom, nextOffset, hash: chain, ...rare }
  },
)

/** 8 bytes in hex for each bucket; for a root one. */
const hashOfSet = (buckets: number): Check<string> => matching(new RegExp(`^[0-9a-f]{${16 * buckets}}$`), 16 * buckets)

type Listing = NonNullable<Extract<ReplicationMessage, { type: 'digest' }>['listing']>
const listing = object<Listing>({ replaced: list(whole(0, bucketCount - 1), bucketCount), more: flag })

/** `host:port`, an IPv6 host in brackets. */
const address = matching(
  /^[A-Za-z0-9._-]+:\d{1,5}$|^\[[0-9a-fA-F:.]+(%[A-Za-z0-9._-]+)?\]:\d{1,5}$/,
  limits.memberAddressBytesMax,
)
/** Empty for a peer without a gateway. Printable ASCII without quotes and angle brackets: it is shown as a link. */
const url = matching(/^$|^https?:\/\/[\x21\x23-\x26\x28-\x3b\x3d\x3f-\x7e]+$/, limits.memberAddressBytesMax)

const facts = object<MemberFacts>({
  name: text(limits.memberNameBytesMax),
  addresses: list(address, limits.memberAddressesMax),
  http: url,
  zone: text(limits.memberNameBytesMax),
  counter: count,
})

const status = object<RegistryStatus>({ type: oneOf('member', 'leaving', 'forgotten'), generation: count })

const update = object<MemberUpdate>({
  peer: peerId,
  state: oneOf('alive', 'suspect', 'dead', 'left'),
  incarnation: count,
  by: peerId,
  reason: prose(limits.reasonLengthMax),
  confirmedBy: optional(list(peerId, limits.confirmationsPerUpdateMax)) as Check<MemberUpdate['confirmedBy'] & {}>,
  facts: optional(facts) as Check<MemberFacts>,
  status: optional(status) as Check<RegistryStatus>,
})

const updates = list(update, limits.updatesPerMessageMax)

/** 8 digits for each bucket, of which there may be 16, 32, 64, 128 or 256. */
const tableDigest = matching(/^(?:[0-9a-f]{128}){1,16}$/, 2_048)

const followTopics = list(topicId, limits.followTopicsPerMessageMax)

type CheckOf<Type> = Check<Extract<ControlMessage, { type: Type }>>
const checkOf: { readonly [Type in ControlMessage['type']]: CheckOf<Type> } = {
  ping: object({ type: oneOf('ping'), ref: count, updates }),
  ack: object({ type: oneOf('ack'), ref: count, updates }),
  pingRequest: object({ type: oneOf('pingRequest'), ref: count, target: peerId, updates }),
  nack: object({ type: oneOf('nack'), ref: count, updates }),
  gossip: object({ type: oneOf('gossip'), updates }),
  pushPullDigest: object({
    type: oneOf('pushPullDigest'),
    buckets: tableDigest,
    standing: oneOf('seeking', 'founding', 'merged'),
    reply: flag,
  }),
  pushPull: object({
    type: oneOf('pushPull'),
    members: list(update, limits.membersPerMessageMax),
    standing: oneOf('seeking', 'founding', 'merged'),
    reply: flag,
    more: flag,
  }),
  pushPullMore: object({ type: oneOf('pushPullMore') }),
  rest: object({ type: oneOf('rest'), agreed: flag }),
  summary: object({ type: oneOf('summary'), epoch, root: hashOfSet(1) }),
  summaryDiffers: object({ type: oneOf('summaryDiffers'), buckets: hashOfSet(bucketCount) }),
  digest: object({
    type: oneOf('digest'),
    feeds: list(digest, limits.digestFeedsPerMessageMax),
    gone: optional(list(feed, limits.digestFeedsPerMessageMax)) as Check<readonly FeedId[]>,
    listing: optional(listing) as Check<Listing>,
  }),
  want: object({
    type: oneOf('want'),
    ref: wantRef,
    feed,
    position: whole(-1),
    end: optional(count) as Check<number>,
    bytesMax: count,
  }),
  flush: object({ type: oneOf('flush'), ref: wantRef }),
  flushed: object({ type: oneOf('flushed'), ref: wantRef }),
  digestMore: object({ type: oneOf('digestMore') }),
  follow: object({ type: oneOf('follow'), topics: followTopics, on: flag }),
  followed: object({ type: oneOf('followed'), topics: followTopics, more: flag }),
  followMore: object({ type: oneOf('followMore') }),
  wantMissing: object({ type: oneOf('wantMissing'), ref: wantRef }),
  disk: object({ type: oneOf('disk'), full: flag }),
  handoff: object({ type: oneOf('handoff'), ref: count, feed, nextOffset: count, hash }),
  handoffConfirmed: object({ type: oneOf('handoffConfirmed'), ref: count }),
  clock: object({ type: oneOf('clock'), wallMs: count }),
  credit: object({ type: oneOf('credit'), bytes: count }),
}

/** A Map, so that a type named `constructor` finds nothing. */
const checks: ReadonlyMap<string, Check<ControlMessage>> = new Map(Object.entries(checkOf))
