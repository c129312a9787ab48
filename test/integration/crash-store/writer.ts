import { type FeedId, feedKeyOf } from '#protocol/log/feed'
import { GroupCommit, groupCommitDefaults } from '#storage/group-commit'
import { randomBytes, randomInt } from 'node:crypto'
import type { BatchToStore, StoredFeed } from '#storage/feed-store'
import { SampleFeed } from '#storage/sample-feed'
import { nodeDigests } from '#node/node-digests'
import { openDataDirectory } from '#storage/data-directory'
import { openLevelStore } from '#storage/level-store'
import { utf8 } from '#protocol/text'

/**
 * Stores batches under load until it is killed, and prints `<feed> <nextOffset> <hash>` for each that was confirmed.
 * In each topic oak writes, with a new feed per run that links to its last one, and elm's feed is a copy that goes on.
 *
 *   node writer.ts <data directory>
 */
const topics = ['orders', 'stock', 'shipments']
const pendingBatchesMax = 48

const directory = await openDataDirectory({ path: process.argv[2] ?? '', cluster: 'grove' })
const store = await openLevelStore({ directory, digests: nodeDigests, onWarning: fail })
const commit = new GroupCommit(groupCommitDefaults, { store, onFailure: fail })
const known = await store.feeds()

const feeds = topics.flatMap((topic) => [ownFeed(topic), copiedFeed(topic)])
while (commit.pendingBatches < pendingBatchesMax) storeNext()

function ownFeed(topic: string): SampleFeed {
  // Of the feeds that oak left, the newest is the one that no other links to.
  const old = feedsOf(topic, 'oak')
  const linked = new Set(old.map(({ opening }) => opening.predecessor?.epoch))
  const last = old.find(({ feed }) => !linked.has(feed.epoch))
  const predecessor = last && { epoch: last.feed.epoch, ...last.head }
  const epoch = randomBytes(8).toString('hex')
  const feed = new SampleFeed({ topic, epoch, digests: nodeDigests, ...(predecessor && { predecessor }) })
  hand(feed.open())
  return feed
}

function copiedFeed(topic: string): SampleFeed {
  const feed = new SampleFeed({ topic, writer: 'elm', digests: nodeDigests })
  const [stored] = feedsOf(topic, 'elm')
  if (stored === undefined) hand(feed.open())
  else feed.resume(stored)
  return feed
}

function feedsOf(topic: string, writer: string): readonly StoredFeed[] {
  return known.filter(({ feed, opening }) => feed.writer === writer && opening.topic === topic)
}

function storeNext(): void {
  const feed = feeds[randomInt(feeds.length)] as SampleFeed
  const batch = feed.batch(randomBytes(randomInt(10) === 0 ? randomInt(200_000) : randomInt(4_000)))
  // As with the ceiling of the hybrid clock: never on disk after a batch that relies on it.
  commit.storeMeta([`clock/${feedKeyOf(feed.id)}`, utf8(String(feed.hlcMs))])
  hand(batch)
}

function hand(batch: BatchToStore): void {
  commit.store(batch, () => {
    process.stdout.write(`${feedKeyOf(batch.feed)} ${batch.head.nextOffset} ${batch.head.hash}\n`)
    if (randomInt(100) === 0) trimTo(batch.feed, batch.head.nextOffset)
    storeNext()
  })
}

function trimTo(feed: FeedId, floor: number): void {
  store.trim(feed, floor).catch(fail)
}

function fail(what: unknown): never {
  console.error(what)
  process.exit(3)
}
