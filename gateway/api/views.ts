import { z } from 'zod'
import { logLevelBody } from '../schemas.ts'
import { errorCatalogue, type ErrorCode } from '#protocol/errors'
import { retentionLimits } from '#protocol/topic-config'
import type { TopicName } from '#protocol/topic-name'
import type { TopicId } from '#protocol/ids'
import type {
  GossipView,
  HealView,
  LinkView,
  MemberView,
  MeshEventPage,
  PartitionsView,
  RemainsView,
  ReplicationStatus,
  ReplicationView,
  SelfNowView,
  TopicStatus,
  TopicSummary,
  TopicView,
} from '#protocol/views'
import type { PublishAck, ReadGap } from '../broker.ts'

/** What the gateway answers, as schemas: `/openapi.json` is made from them, and answers in tests are checked against them. */

const text = z.string()
const flag = z.boolean()
const count = z.int().min(0)
const number = z.number()
/** Milliseconds; round trips have fractions. */
const ms = z.number().min(0)
const texts = z.array(text)
const topic = text as z.ZodType as z.ZodType<TopicName>
const topicId = text as z.ZodType as z.ZodType<TopicId>
const named = { peer: text, name: text }
const time = z.iso.datetime()

/** RFC 9457; further facts may stand beside. */
export const problem = z.looseObject({
  type: text,
  title: text,
  status: z.int().min(400).max(599),
  detail: text,
  code: z.enum(Object.keys(errorCatalogue) as [ErrorCode, ...ErrorCode[]]),
  retryable: flag,
  hint: text,
  peer: text,
})

export const gap = z.strictObject({
  type: z.enum(['lost', 'late']),
  feed: text,
  from: count,
  to: count,
}) satisfies z.ZodType<ReadGap>

const producer = z.strictObject({ id: text, epoch: count, seq: count })

/** One of `value` and `valueBase64`, one of `key` and `keyBase64` at most. */
export const record = z.strictObject({
  id: text,
  topic: text,
  feed: text,
  offset: count,
  time,
  key: text.optional(),
  keyBase64: z.base64().optional(),
  headers: z.record(text, text).optional(),
  contentType: text,
  producer: producer.optional(),
  value: z.unknown().optional(),
  valueBase64: z.base64().optional(),
})

export const page = z.strictObject({
  records: z.array(record),
  cursor: text,
  upToDate: flag,
  isolated: z.literal(true).optional(),
  gaps: z.array(gap).optional(),
})

export const interval = z.strictObject({
  records: z.array(record),
  from: time,
  to: time,
  next: text.optional(),
  complete: flag,
  gaps: z.array(gap).optional(),
})

export const ack = z.strictObject({
  level: text,
  reached: flag,
  copies: count,
  peers: texts,
  registryVersion: text,
  home: texts,
}) satisfies z.ZodType<PublishAck>

export const published = z.strictObject({ id: text, cursor: text, ack })
export const publishedBatch = z.strictObject({
  results: z.array(z.strictObject({ status: z.union([z.literal(201), z.literal(202)]), id: text })),
  cursor: text,
  ack,
})
export const copies = z.strictObject({ id: text, ack })

export const namedCursor = z.strictObject({ topic: text, name: text, cursor: text })
export const deletedCursor = z.strictObject({ topic: text, name: text, deleted: z.literal(true) })

// Topics ----------------------------------------------------------------------------------------------------------------

const retentionView = z.strictObject(Object.fromEntries(retentionLimits.map((limit) => [limit, count.exactOptional()])))
const summaryFields = { topic, topicId, generation: count, kept: flag, records: count, feeds: count }
export const topicSummary = z.strictObject(summaryFields) satisfies z.ZodType<TopicSummary>

export const topicView = z.strictObject({
  ...summaryFields,
  offsets: z.array(z.strictObject({ feed: text, earliest: count, next: count })),
  offsetsLeftOut: count.exactOptional(),
  config: z.strictObject({ replicas: count, retention: retentionView, minAck: text }),
  version: text,
  edited: time.exactOptional(),
}) satisfies z.ZodType<TopicView>

const remains = z.strictObject({
  topic,
  topicId,
  records: count,
  feeds: count,
  goesInMs: number,
}) satisfies z.ZodType<RemainsView>
export const topicList = z.strictObject({ topics: z.array(topicSummary), deleted: z.array(remains) })
export const deletedTopic = z.strictObject({ topic: text, generation: count, remains: text })

const role = z.enum(['home', 'standIn', 'other'])
const feedHead = z.strictObject({
  feed: text,
  floor: count,
  keptFrom: count.exactOptional(),
  nextOffset: count,
  hash: text,
  holes: z.array(z.strictObject({ from: count, to: count })).exactOptional(),
})
export const topicStatus = z.strictObject({
  ...summaryFields,
  converged: flag,
  registryVersion: text,
  replicas: z.array(
    z.strictObject({ ...named, role, state: text, current: flag, lag: count, feeds: z.array(feedHead) }),
  ),
}) satisfies z.ZodType<TopicStatus>

export const replicationStatus = z.strictObject({
  id: text,
  copies: count,
  peers: z.array(z.strictObject({ ...named, role, holds: flag, current: flag })),
  registryVersion: text,
  home: texts,
}) satisfies z.ZodType<ReplicationStatus>

// The mesh --------------------------------------------------------------------------------------------------------------

const disk = z.strictObject({ totalBytes: count, freeBytes: count, reserveBytes: count, full: flag })
export const selfView = z.strictObject({
  peerId: text,
  name: text,
  cluster: text,
  epoch: text,
  http: text,
  listen: texts,
  version: text,
  startedAt: text,
  storage: text,
  now: time,
  disk: disk.exactOptional(),
}) satisfies z.ZodType<SelfNowView>

export const member = z.strictObject({
  id: text,
  name: text,
  self: flag,
  state: z.enum(['alive', 'suspect', 'dead', 'left']),
  status: z.enum(['member', 'leaving', 'forgotten']),
  incarnation: count,
  sinceMs: ms,
  reason: text.exactOptional(),
  suspectedBy: texts.exactOptional(),
  deadInMs: number.exactOptional(),
  http: text,
  addresses: texts,
  zone: text,
  linked: flag,
  rttMs: ms.exactOptional(),
}) satisfies z.ZodType<MemberView>
export const members = z.strictObject({ members: z.array(member), forgotten: z.array(member) })

const list = <Shape extends z.core.$ZodLooseShape>(shape: Shape) => z.array(z.strictObject(shape))
export const gossip = z.strictObject({
  self: z.strictObject({
    id: text,
    name: text,
    incarnation: count,
    awareness: count,
    double: z.strictObject({ agoMs: ms, addresses: texts }).exactOptional(),
  }),
  members: z.array(member),
  forgotten: z.array(member),
  rumors: list({ ...named, state: text, incarnation: count, sendsLeft: count }),
  probes: list({ ...named, phase: z.enum(['direct', 'indirect']), sinceMs: ms }),
  roundTrips: list({ ...named, rttMs: ms, agoMs: ms }),
  pushPulls: list({ ...named, agoMs: ms }),
  events: list({ ...named, agoMs: ms, from: text, to: text, incarnation: count, by: text, reason: text }),
}) satisfies z.ZodType<GossipView>

const link = z.strictObject({
  ...named,
  state: z.enum(['up', 'down', 'dialing']),
  sinceMs: ms,
  rttMs: ms.exactOptional(),
  creditOut: number,
  creditIn: number,
  nextDialInMs: number.exactOptional(),
  dialAttempts: count.exactOptional(),
  lastError: text.exactOptional(),
}) satisfies z.ZodType<LinkView>
export const links = z.strictObject({ links: z.array(link) })

export const partitions = z.strictObject({
  split: flag,
  islands: list({
    side: z.enum(['ours', 'away']),
    since: time.exactOptional(),
    sinceMs: ms.exactOptional(),
    sinceStart: z.literal(true).exactOptional(),
    members: list({
      ...named,
      sinceMs: ms.exactOptional(),
      by: text.exactOptional(),
      reason: text.exactOptional(),
    }),
  }),
}) satisfies z.ZodType<PartitionsView>

const heal = z.strictObject({
  id: count,
  state: z.enum(['merging', 'merged', 'interrupted']),
  from: time,
  until: time,
  durationMs: ms,
  sinceStart: z.literal(true).exactOptional(),
  mergedInMs: ms.exactOptional(),
  reason: text,
  ours: list(named),
  theirs: list({ ...named, taken: count, left: count }),
  received: z.strictObject({ records: count, left: count, feeds: count }),
  taken: z.strictObject({ records: count, left: count }),
  duplicates: count,
  partial: z.literal(true).exactOptional(),
}) satisfies z.ZodType<HealView>
export const heals = z.strictObject({ heals: z.array(heal) })

/** Types of events are stable, and there may be more of them; what else an event says depends on its type. */
const event = z.looseObject({ id: text, type: text, time, text })
export const eventPage = z.strictObject({
  events: z.array(event),
  last: text.optional(),
  gap: z.strictObject({ reason: z.enum(['moved-on', 'other-boot']), missed: count.optional() }).optional(),
}) satisfies z.ZodType<Pick<MeshEventPage, 'last'> | object>

const place = { topic: text }
const feedPlace = { ...place, feed: text }
const counts = <Name extends string>(...names: readonly Name[]) =>
  Object.fromEntries(names.map((name) => [name, count])) as Record<Name, typeof count>
export const meshReplication = z.strictObject({
  leaving: z
    .strictObject({ status: z.enum(['leaving', 'forgotten']), feeds: count, records: count, waitsFor: texts })
    .exactOptional(),
  totals: z.strictObject({
    diskFull: flag,
    ...counts('behindRecords', 'behindFeeds', 'damagedRecords', 'lostRecords', 'rangesFound', 'rangesRepaired'),
    ...counts('handedOff', 'forgotten', 'verifications', 'followedTopics', 'remoteReads', 'waitingPublishes'),
  }),
  neighbors: list({
    ...named,
    linked: flag,
    current: flag,
    diskFull: flag,
    ...counts('behindRecords', 'unpushedFeeds'),
  }),
  behind: list({ ...named, ...place, records: count, current: flag }),
  catchUps: list({
    ...feedPlace,
    from: text,
    position: count,
    target: count,
    recordsLeft: count,
    sinceMs: ms,
    recordsPerSecond: number.exactOptional(),
  }),
  repairs: list({
    ...feedPlace,
    state: z.enum(['fetching', 'waiting', 'lost']),
    from: count,
    to: count,
    source: text.exactOptional(),
    position: count.exactOptional(),
  }),
  handoffs: list({
    ...feedPlace,
    step: z.enum(['copying', 'queued', 'asking', 'grace']),
    records: count,
    waitsFor: texts,
    nextInMs: ms.exactOptional(),
  }),
  leftOut: z.strictObject(counts('neighbors', 'behind', 'repairs', 'handoffs')),
}) satisfies z.ZodType<ReplicationView>

// The lab, health -------------------------------------------------------------------------------------------------------

export const dropped = z.strictObject({ dropped: texts })
export const labLinks = z.strictObject({ links: z.array(z.looseObject({})) })
export const health = z.strictObject({ status: z.literal('ok') })
export const readiness = z.strictObject({ status: z.literal('ready') })
export const version = z.strictObject({ name: z.literal('grapevine'), version: text })
export const revokedTokens = z.strictObject({
  revoked: z.array(z.strictObject({ id: z.string(), until: z.string().exactOptional() })),
})
export const revokedToken = z.strictObject({ id: z.string(), revoked: z.literal(true) })
export const logLevel = logLevelBody
export const ticket = z.strictObject({ ticket: text, expiresInMs: count })
export const index = z.strictObject({
  name: z.literal('grapevine'),
  version: text,
  peer: text,
  docs: text,
  routes: texts,
})
export const document = z.looseObject({})
