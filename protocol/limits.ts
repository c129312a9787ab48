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
  /**
   * Of that, what is caught up on while clients publish at this peer, one batch at least: each publish may have to wait for
   * such an append, and then for one that it shares. Higher: fewer fsyncs after a split, slower acks meanwhile.
   */
  commitBacklogBytesMax: 256 * KiB,
  /** Publishes accepted and not yet fsynced, over all topics; beyond it a publish is refused as OVERLOADED. */
  pendingPublishBytesMax: 64 * MiB,
  pendingPublishesMax: 16_384,
  /** Publishes that are on disk here and wait for other copies. One more is told at once how far it got. */
  waitingPublishesMax: 16_384,

  /**
   * Producers (P6). A span is a run of sequence numbers in one feed, and takes about 300 bytes. An idempotency key is a span
   * of its own, so this many of the newest are recognized; any other producer takes one for each feed that it wrote to.
   */
  producerSpansPerTopicMax: 65_536,
  producerSpansPerProducerMax: 256,
  /** Records of others within a span: what is searched at most to find one of its records. Higher: fewer spans, slower retries. */
  producerSpanSlackMax: 65_536,
  /** Of all topics of a peer; beyond it those that were not used for longest are forgotten, and read again when they are. */
  producerSpansMax: 131_072,
  /** What a checkpoint holds of a topic: it is one value of metadata, and may be 1 MiB. After a restart the newest of these are known. */
  producerCheckpointSpansMax: 12_288,
  producerCheckpointFeedsMax: 2_048,
  /** What was stored since a checkpoint is read again at the first use after a start: the newest of it, up to this. */
  producerTailBytesMax: 256 * MiB,
  /** `Idempotency-Key` and `Producer-Id`, in characters. */
  producerNameLengthMax: 255,

  /** Connections of a peer, spare ones included, however many members there are. Most of them have no link (`--links-max`). */
  linksMax: 512,
  /** Of them, for spare ones, joiners and strangers: where more members belong than there are others, nobody links with all at once. */
  linksReserved: 64,
  /** Bytes of batches that a neighbor may have in flight to us; we hold at most this much of it unsynced. */
  linkCreditBytes: 2 * MiB,
  /** A data frame carries at least one batch. */
  dataFrameBytesMax: 1 * MiB + 4 * KiB,
  /**
   * What a sender tries to put into one data frame when there is that much: one fsync stores it. Higher: less work per
   * byte while catching up (a quarter of the 256 KiB frames' goes into their fsyncs), longer waits for what comes behind.
   */
  dataFrameBytesTarget: 960 * KiB,
  /** Frames that lab mode holds back on one link, with what each costs; beyond it the link is closed, as a full buffer would. */
  labDelayedBytesMax: 4 * MiB,
  labDelayMsMax: 60_000,
  /** A control frame is one JSON message. Large digests are split into several. */
  controlFrameBytesMax: 256 * KiB,
  /** Control bytes that wait for a slow link; beyond it the link is closed and starts again from digests. */
  controlBacklogBytesMax: 1 * MiB,
  digestFeedsPerMessageMax: 256,
  /** Of all feeds in one digest, each some 35 bytes on the wire. */
  digestHolesPerMessageMax: 2_048,
  /** Damaged ranges of one feed. With more, the nearest count as one, and what is sound between them is fetched again, too. */
  feedHolesMax: 1_024,
  /** Feeds of which a part is missed, while all who might hold it are asked. */
  feedsMissedMax: 4_096,
  /** Feeds of all topics: writers × boots × topics. Each costs some 500 bytes here and 200 for each neighbor. */
  feedsMax: 65_536,
  /** Boots that a peer knows the order of, at 17 bytes each: where it goes on from when crashes left feeds without successor. */
  bootsMax: 1_024,
  /** Topics that this peer opens for its clients. */
  topicsMax: 10_000,
  /** Copies that a topic may ask for: more than that is a broadcast, which every member of a mesh would pay for. */
  replicasMax: 64,
  /** Names in the topic registry, deleted ones included; each costs some 500 bytes at every peer, for ever. */
  registeredTopicsMax: 65_536,
  /** A record of `$topics`, in characters: a flood of new topics goes into few. A state larger than that has its own. */
  topicRecordLengthTarget: 256 * KiB,
  /** Runs of peers whose edits of one topic are told apart; beyond it old edits may count again, which protects more. */
  topicRunsMax: 256,
  /** Deleted generations of a name of which is known what was seen of them; of older ones all is kept for the grace time. */
  tombstonesMax: 4,
  tombstoneFeedsMax: 1_024,
  tombstoneDeletersMax: 64,
  /** Feeds of deleted topics of which a restart still knows how long they were kept: some 160 bytes each in one value. */
  keptFeedsStoredMax: 4_096,
  /** Feeds that this peer is catching up on at a time, so that a heal is not a storm. */
  catchUpsMax: 4,
  catchUpsPerHolderMax: 2,
  /** Feeds for which this peer asks at a time whether it may let go of them: each is read from disk at all of its home. */
  handoffsAskedMax: 16,
  /** Copies that wait here to be read for peers that would like to let go of theirs; they ask again. */
  verificationsMax: 256,
  /** Feeds that are forgotten in one look; each is a change of the store, and a row less in tables that are gone through. */
  feedsForgottenAtOnceMax: 256,
  /** Reads of a sweep, a second apart, that measure feeds of topics with a retention; what is written now needs none. */
  retentionReadsMax: 8,
  retentionReadBytes: 512 * KiB,
  /** Feeds of which damage is being repaired at a time, beside these. */
  repairsMax: 2,
  /** Topics that are used at a peer and may be followed elsewhere: a live read more has a topic of its own at most. */
  followedTopicsMax: 4_096,
  followTopicsPerMessageMax: 256,
  /** Wants of reads that go through this peer, over all holders. Higher: faster catch-up of readers, more memory. */
  remoteReadsMax: 12,
  /** Such reads that wait for their turn; one more fails, and its reader waits. */
  remoteReadsWaitingMax: 16_384,
  /** Rows of each list of the view of replication; what is beyond is counted. */
  replicationRowsMax: 256,
  /** Batches that were read from others, for the readers of the same records. */
  remoteCacheBytesMax: 16 * MiB,
  /** So many followers of a topic are told at once that it has gone on; more of them a little later, in one go. */
  promptFollowersMax: 8,

  /** Members of one mesh that this version is made for; a table beyond it is refused. */
  membersMax: 8_192,
  /** Members that do not answer and are dialed at a time, beside those that should; one more waits for its longest back-off. */
  dialsOfAbsentMax: 64,
  /** Where more than these are not there the longest back-off grows with their number: a dial costs a millisecond. */
  absentPerBackoffMax: 256,
  memberAddressesMax: 8,
  memberNameBytesMax: 64,
  memberAddressBytesMax: 256,
  /** Member updates that ride on one membership message. */
  updatesPerMessageMax: 32,
  /**
   * Characters of them, about, unless one alone is longer. In the LAN profile 4 such messages each 200 ms are the most that a
   * member has to say, whatever happens: some 140 kbit/s. Higher: a storm of news is over sooner.
   */
  updatesLengthPerMessageMax: 740,
  /** Members in one push-pull message: at up to ~3.7 KB each they fit into a control frame. */
  membersPerMessageMax: 64,
  /** Members that a push-pull tells of while rumors are under way, once in a probe interval: some 2 KB. Higher: what rumors miss is learned sooner. */
  membersWhileNewsMax: 8,
  /** Accusers of a suspect that are told beside the first. */
  confirmationsPerUpdateMax: 8,
  /** Why a member changed its state, in characters; longer ones are cut. */
  reasonLengthMax: 256,

  /** Reports of heals that are kept, and feeds of which one counts what moves: some 100 bytes each, until it is merged. */
  healReportsMax: 32,
  mergeFeedsMax: 4_096,
  /** Events of the mesh that are kept, for who comes back with the id of one: some 500 bytes each, a few KiB at most. */
  meshEventsMax: 2_048,
  /** Members that an event, and a line of the log, calls by name in each of its lists; the others are counted. */
  eventNamesMax: 16,

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

  /** Connections of clients to one peer, WebSockets among them (`--max-connections`): an idle one takes some 16 KiB. */
  connectionsMax: 16_384,
  /** Connections beyond it that are accepted to be told so; one more is dropped. */
  connectionsRefusedMax: 256,
  /** Requests that one connection may send before the first is answered. */
  pipelinedRequestsMax: 32,
  /** Heads of requests that are not whole yet, of all connections: one may be 208 KiB, for the sake of cursors. */
  arrivingHeadBytesMax: 64 * MiB,
  /** Answers, streams and frames that clients have not taken yet, of all connections. Beyond it, who is slowest is cut. */
  unsentBytesMax: 256 * MiB,
  /** Clients whose rates are known, by token or address: some 250 bytes each. A client that is forgotten starts afresh. */
  rateBucketsMax: 16_384,
  /** A client that has been quiet for so long may ask for so many seconds' worth at once. */
  rateBurstSeconds: 2,
  /** WebSockets of one peer. */
  socketsMax: 16_384,
  /** A frame of a client: the largest publish over HTTP in its envelope. */
  socketFrameBytesMax: 8 * MiB + 8 * KiB,
  /** Parts that a client may cut one frame into: each costs a hundred times its smallest size until the frame is whole. */
  socketFragmentsMax: 1_024,
  socketSubscriptionsMax: 64,
  /** Patterns of one subscription. */
  subscriptionPatternsMax: 64,
  /** Topics of all subscriptions of a socket: each has a reader. */
  socketTopicsMax: 1_024,
  /** Named cursors that a peer makes of all topics, deleted ones included, and their text; each is in memory once it was asked for one. */
  namedCursorsMax: 65_536,
  namedCursorsLengthMax: 32 * MiB,
  /** One of them, in characters: some 400 writers and epochs. */
  namedCursorTextMax: 16 * KiB,
  /** Positions that were stored without seeing each other, of one name. */
  namedCursorValuesMax: 32,
  /** Topics of one stream over HTTP: with each of its events goes a cursor for each of them. */
  streamTopicsMax: 128,
  /** Records that a subscription may still be sent: a number here, memory at the client. */
  subscriptionCreditMax: 1_000_000,
  /** Publishes of one socket that have no answer yet; their bytes are bounded with those of all others. */
  socketPublishesMax: 256,
  /**
   * No more records are read while so much waits for the socket. Higher: fewer, larger writes and more memory. With many sockets
   * each has its share of half of `unsentBytesMax`, and at least `fairShareBytesMin`.
   */
  socketBufferedBytesTarget: 256 * KiB,
  fairShareBytesMin: 16 * KiB,
  /** No more frames are taken while so much waits: a client that asks and does not read what it is answered. */
  socketBufferedBytesMax: 4 * MiB,
  /** What one read of a topic brings a socket or a stream, beyond its first record; with many of them their share, as above. */
  socketReadBytesTarget: 64 * KiB,
  /** The JSON before the bytes of a binary message: a cursor, and which records of a batch are passed over. */
  binaryHeaderBytesMax: 2 * MiB,
  /** `sub` and `ref` of a client, in characters. */
  socketNameLengthMax: 64,

  /** Patterns of one list of a token: each is compared at each request. */
  grantPatternsMax: 64,
  /** Static tokens in a file: some 500 bytes each. */
  tokensMax: 10_000,
  /** A token as a client shows it: fits into the head of a request, with room for a cursor. */
  tokenLengthMax: 8 * KiB,
  /** Keys that sign JSON web tokens, and bytes of a document with them. */
  tokenKeysMax: 64,
  tokenKeysBytesMax: 256 * KiB,
  /** JSON web tokens whose signature was checked, each some 500 bytes; beyond it the one that came first is checked again. */
  verifiedTokensMax: 4_096,
  /** Tickets that were given and not used, each good for so long. One more is refused as OVERLOADED. */
  ticketsMax: 4_096,
  /** Of one principal; for one more its oldest goes. */
  ticketsOfPrincipalMax: 64,
  ticketMs: 30_000,
  /** A WebSocket without a token says who it is within this time. */
  socketAuthMsMax: 5_000,
  /** Ids of tokens that were revoked before they expire, in memory at every peer: some 100 bytes each. */
  revocationsMax: 65_536,
} as const

assert(limits.recordBytesMax < limits.batchBytesMax, 'the largest record fits into a batch')
assert(limits.batchBytesMax < limits.dataFrameBytesMax, 'the largest batch fits into a data frame')
// A sender waits until the credit covers the largest frame, so this much must be grantable at once.
assert(limits.dataFrameBytesMax <= limits.linkCreditBytes, 'credit covers the largest data frame')
assert(
  limits.dataFrameBytesTarget + limits.dataFrameBytesMax <= limits.linkCreditBytes,
  'a frame is sent while one before it is being stored',
)
assert(limits.linkCreditBytes < limits.labDelayedBytesMax, 'what a neighbor may have in flight can be on its way')
assert(limits.readersMax <= limits.followedTopicsMax, 'each live read may be of another topic')
assert(limits.batchBytesMax <= limits.commitBytesMax, 'the largest batch fits into a group commit')
assert(limits.recordBytesMax * 1.5 <= limits.lineBytesMax, 'the largest record fits into a line, in base64')
assert(limits.feedHolesMax <= limits.digestHolesPerMessageMax, 'the holes of one feed fit into a digest')
assert(limits.controlFrameBytesMax <= limits.controlBacklogBytesMax, 'the largest control frame fits into the backlog')
// Peer ids of libp2p have 52 characters; an entry of a tombstone is a peer id, an epoch, an offset and a hash, with some syntax.
const tombstoneEntryLengthMax = 52 + 16 + 16 + 64 + 12
assert(
  limits.tombstonesMax * (limits.tombstoneFeedsMax + limits.tombstoneDeletersMax) * tombstoneEntryLengthMax +
    5 * limits.topicRunsMax * 100 <
    limits.recordBytesMax,
  'the largest state of a topic fits into a record',
)
assert(
  limits.namedCursorValuesMax * (limits.namedCursorTextMax + 128) + limits.topicRunsMax * 100 < limits.recordBytesMax,
  'the largest state of a named cursor fits into a record',
)
// Else reading what a client sends would wait for records that it is sent.
assert(
  limits.socketBufferedBytesTarget + limits.socketReadBytesTarget + 2 * limits.recordBytesMax <
    limits.socketBufferedBytesMax,
  'a socket takes frames while records wait for it',
)
assert(
  limits.socketBufferedBytesTarget + limits.socketReadBytesTarget + limits.batchBytesMax + limits.binaryHeaderBytesMax <
    limits.socketBufferedBytesMax,
  'a socket takes frames while batches wait for it',
)
