import { assert } from '#protocol/assert'

const KiB = 1024
const MiB = 1024 * KiB

/** Every bound of the protocol with its reason (P10). What a bound costs stands beside it; relations are asserted below. */
export const limits = {
  /** Longest topic name, in bytes; tokens are at most 64. */
  topicNameBytesMax: 255,
  /** A batch is the unit of fsync and of a frame: larger ones would hold up live traffic on a link. */
  batchBytesMax: 1 * MiB,
  /** A record with its key and headers. The rest of a batch is its header and producer ranges. */
  recordBytesMax: 1 * MiB - 4 * KiB,
  recordHeadersMax: 64,
  recordHeaderBytesMax: 8 * KiB,
  recordKeyBytesMax: 1 * KiB,
  /** Records in one batch, whatever their size. */
  batchRecordsMax: 65_535,
  /** One group commit: what one fsync may carry. Higher: better throughput, longer waits behind a large commit. */
  commitBatchesMax: 256,
  commitBytesMax: 1 * MiB,
  /** Publishes accepted and not yet fsynced, over all topics; beyond it a publish is refused as OVERLOADED. */
  pendingPublishBytesMax: 64 * MiB,
  pendingPublishesMax: 16_384,
  /** Publishes that are on disk here and wait for other copies. One more is told at once how far it got. */
  waitingPublishesMax: 16_384,

  /** Connections of a peer, spare ones included: a full mesh of 64 members twice over, and room for strangers. */
  linksMax: 512,
  /** Bytes of batches that a neighbor may have in flight to us; we hold at most this much of it unsynced. */
  linkCreditBytes: 2 * MiB,
  /** A data frame carries at least one batch. */
  dataFrameBytesMax: 1 * MiB + 4 * KiB,
  /** What a sender tries to put into one data frame when there is that much. */
  dataFrameBytesTarget: 256 * KiB,
  /** A control frame is one JSON message. Large digests are split into several. */
  controlFrameBytesMax: 256 * KiB,
  /** Control bytes that wait for a slow link; beyond it the link is closed and starts again from digests. */
  controlBacklogBytesMax: 1 * MiB,
  digestFeedsPerMessageMax: 256,
  /** Feeds of all topics: writers × boots × topics. Each costs some 500 bytes here and 200 for each neighbor. */
  feedsMax: 65_536,
  /** Topics that this peer opens for its clients. */
  topicsMax: 10_000,
  /** Feeds that this peer is catching up on at a time, so that a heal is not a storm. */
  catchUpsMax: 4,
  catchUpsPerHolderMax: 2,

  /** Members of one mesh that this version is made for; a table beyond it is refused. */
  membersMax: 4_096,
  memberAddressesMax: 8,
  memberNameBytesMax: 64,
  memberAddressBytesMax: 256,
  /** Member updates that ride on one membership message. */
  updatesPerMessageMax: 32,
  /** Members in one push-pull message: at up to ~3.7 KB each they fit into a control frame. */
  membersPerMessageMax: 64,
  /** Why a member changed its state, in characters; longer ones are cut. */
  reasonLengthMax: 256,

  /** Entries of a cursor: writers × epochs that its reader has met. */
  cursorEntriesMax: 4_096,
  cursorTextMax: 192 * KiB,
  /** A JSON publish body with its records; NDJSON streams have no such limit. */
  requestBytesMax: 8 * MiB,
  publishRecordsMax: 10_000,
  /** A line of NDJSON: holds the largest record with its bytes in base64. */
  lineBytesMax: 2 * MiB,
  pageRecordsMax: 1_000,
  pageBytesMax: 4 * MiB,
  waitMsMax: 60_000,
  waitMsDefault: 5_000,
  /** What a reader tries to fetch of one feed at a time; it gets at least one batch. */
  readerFetchBytesTarget: 64 * KiB,
  readerFetchesAtOnceMax: 8,
  /** Batches that a reader holds to choose the next from, the next one itself aside. Lower: feeds are fetched twice. */
  readerAheadBytesMax: 256 * KiB,
  /** Live reads (SSE, long-polls) of one peer. */
  readersMax: 4_096,

  /** WebSockets of one peer. */
  socketsMax: 4_096,
  /** A frame of a client: the largest publish over HTTP in its envelope. */
  socketFrameBytesMax: 8 * MiB + 8 * KiB,
  /** Parts that a client may cut one frame into: each costs a hundred times its smallest size until the frame is whole. */
  socketFragmentsMax: 1_024,
  socketSubscriptionsMax: 64,
  /** Patterns of one subscription. */
  subscriptionPatternsMax: 64,
  /** Topics of all subscriptions of a socket: each has a reader. */
  socketTopicsMax: 1_024,
  /** Records that a subscription may still be sent: a number here, memory at the client. */
  subscriptionCreditMax: 1_000_000,
  /** Publishes of one socket that have no answer yet; their bytes are bounded with those of all others. */
  socketPublishesMax: 256,
  /** No more records are read while so much waits for the socket. Higher: fewer, larger writes and more memory. */
  socketBufferedBytesTarget: 256 * KiB,
  /** No more frames are taken while so much waits: a client that asks and does not read what it is answered. */
  socketBufferedBytesMax: 4 * MiB,
  /** What one read of a topic brings a socket, beyond its first record. */
  socketReadBytesTarget: 64 * KiB,
  /** `sub` and `ref` of a client, in characters. */
  socketNameLengthMax: 64,
} as const

assert(limits.recordBytesMax < limits.batchBytesMax, 'the largest record fits into a batch')
assert(limits.batchBytesMax < limits.dataFrameBytesMax, 'the largest batch fits into a data frame')
// A sender waits until the credit covers the largest frame, so this much must be grantable at once.
assert(limits.dataFrameBytesMax <= limits.linkCreditBytes, 'credit covers the largest data frame')
assert(limits.batchBytesMax <= limits.commitBytesMax, 'the largest batch fits into a group commit')
assert(limits.recordBytesMax * 1.5 <= limits.lineBytesMax, 'the largest record fits into a line, in base64')
assert(limits.controlFrameBytesMax <= limits.controlBacklogBytesMax, 'the largest control frame fits into the backlog')
// Else reading what a client sends would wait for records that it is sent.
assert(
  limits.socketBufferedBytesTarget + limits.socketReadBytesTarget + 2 * limits.recordBytesMax <
    limits.socketBufferedBytesMax,
  'a socket takes frames while records wait for it',
)
