import { feedKeyOf } from '#protocol/log/feed'
import { GroupCommit, groupCommitDefaults } from '#storage/group-commit'
import { randomBytes, randomInt } from 'node:crypto'
import type { BatchToStore, StoreChange, StoredFeed } from '#storage/feed-store'
import { SampleFeed } from '#storage/sample-feed'
import { nodeDigests } from '#node/node-digests'
import { realClock } from '#node/real-clock'
import { openDataDirectory } from '#storage/data-directory'
import { openLevelStore } from '#storage/open-level-store'
import { utf8 } from '#protocol/text'
import type { Told } from './told.ts'

/**
 * Stores batches under load until it is killed, and prints what it has ordered of a store and what was confirmed, a line of
 * JSON each (`told.ts`). In each topic oak writes, with a new feed per run that links to its last one, and elm's feed is a
 * copy that goes on. Floors move, prefixes are dropped, holes come and are filled, and ash writes feeds that are forgotten.
 *
 *   node writer.ts <data directory>
 */
const topics = ['orders', 'stock', 'shipments']
const pendingBatchesMax = 48
/** Of a feed, since its last floor: what its holes may be in. */
const recentMax = 16

const directory = await openDataDirectory({ path: process.argv[2] ?? '', cluster: 'grove' })
const store = await openLevelStore({ directory, digests: nodeDigests, onWarning: fail })
const commit = new GroupCommit(groupCommitDefaults, { store, onFailure: fail, clock: realClock })
const known = await store.feeds()

/** The batches of a feed above its floor and what is kept, as they were ordered. */
const recent = new Map<SampleFeed, BatchToStore[]>()
/** The feed of ash that comes next links to this one, and takes its place. */
const brief = new Map<string, SampleFeed>()

const feeds = topics.flatMap((topic) => [ownFeed(topic), copiedFeed(topic)])
while (commit.pendingBatches < pendingBatchesMax) storeNext()

function ownFeed(topic: string): SampleFeed {
  // Of the feeds that oak left, the newest is the one that no other links to.
  const old = feedsOf(topic, 'oak')
  const linked = new Set(old.map(({ opening }) => opening.predecessor?.epoch))
  const last = old.find(({ feed }) => !linked.has(feed.epoch))
  return opened(topic, 'oak', last && { epoch: last.feed.epoch, ...last.head })
}

function copiedFeed(topic: string): SampleFeed {
  const [stored] = feedsOf(topic, 'elm')
  const feed = new SampleFeed({ topic, writer: 'elm', digests: nodeDigests })
  if (stored === undefined) hand(feed, feed.open())
  else feed.resume(stored)
  return feed
}

function opened(topic: string, writer: string, predecessor: SampleFeed['opening']['predecessor']): SampleFeed {
  const epoch = randomBytes(8).toString('hex')
  const feed = new SampleFeed({ topic, writer, epoch, digests: nodeDigests, ...(predecessor && { predecessor }) })
  hand(feed, feed.open())
  return feed
}

function feedsOf(topic: string, writer: string): readonly StoredFeed[] {
  return known.filter(({ feed, opening }) => feed.writer === writer && opening.topic === topic)
}

function storeNext(): void {
  const feed = feeds[randomInt(feeds.length)] as SampleFeed
  const batch = feed.batch(randomBytes(randomInt(10) === 0 ? randomInt(200_000) : randomInt(4_000)))
  // As with the ceiling of the hybrid clock: never on disk after a batch that relies on it.
  commit.storeChange({ type: 'meta', key: `clock/${feedKeyOf(feed.id)}`, value: utf8(String(feed.hlcMs)) })
  hand(feed, batch)
  if (randomInt(60) === 0) change(feed)
}

function hand(feed: SampleFeed, batch: BatchToStore): void {
  const batches = recent.get(feed) ?? []
  recent.set(feed, batches)
  if (batch.opening === undefined) batches.push(batch)
  if (batches.length > recentMax) batches.shift()
  commit.store(batch, () => {
    tell({ type: 'batch', feed: feedKeyOf(feed.id), nextOffset: batch.head.nextOffset, hash: batch.head.hash })
    if (feeds.includes(feed)) storeNext()
  })
}

function change(feed: SampleFeed): void {
  const kinds = [
    () => letGo(feed, 'floor'),
    () => letGo(feed, 'kept'),
    () => breakAndFill(feed),
    () => forgetPredecessor(feed.opening.topic),
  ]
  kinds[randomInt(kinds.length)]?.()
}

function letGo(feed: SampleFeed, type: 'floor' | 'kept'): void {
  const batches = recent.get(feed) ?? []
  const at = batches[randomInt(Math.max(1, batches.length))]
  if (at === undefined) return
  recent.set(feed, batches.slice(batches.indexOf(at) + 1))
  const { nextOffset: offset } = at.head
  const of = { feed: feed.id }
  order(type === 'floor' ? { type, ...of, floor: at.head } : { type, ...of, keptFrom: offset }, {
    type,
    feed: feedKeyOf(feed.id),
    offset,
  })
}

function breakAndFill(feed: SampleFeed): void {
  const batches = recent.get(feed) ?? []
  const first = randomInt(Math.max(1, batches.length - 1))
  const [before, ...lost] = batches.slice(first, first + 4)
  const last = lost.at(-1)
  if (before === undefined || last === undefined) return
  const hole = { from: before.head.nextOffset, to: last.head.nextOffset }
  const [of, key] = [{ feed: feed.id }, feedKeyOf(feed.id)]
  order({ type: 'holes', ...of, holes: [hole] }, { type: 'holes', feed: key })
  order({ type: 'fill', ...of, batches: lost, holes: [] }, { type: 'fill', feed: key })
}

/** Ash goes on in another feed, and the one before it is emptied and forgotten. */
function forgetPredecessor(topic: string): void {
  const old = brief.get(topic)
  const next = opened(topic, 'ash', old && { epoch: old.id.epoch, ...old.head })
  for (let i = 0; i < 3; i++) hand(next, next.batch(randomBytes(2_000)))
  brief.set(topic, next)
  if (old === undefined) return
  const feed = feedKeyOf(old.id)
  order({ type: 'floor', feed: old.id, floor: old.head }, { type: 'floor', feed, offset: old.head.nextOffset })
  order({ type: 'forget', feed: old.id, rooted: [next.id] }, { type: 'forget', feed, rooted: feedKeyOf(next.id) })
}

/** A change is told when it is ordered, since it may be on disk from then on, and when it is confirmed. */
function order(what: StoreChange, told: Told): void {
  tell({ ...told, ordered: true })
  commit.storeChange(what, () => tell(told))
}

function tell(told: Told): void {
  process.stdout.write(`${JSON.stringify(told)}\n`)
}

function fail(what: unknown): never {
  console.error(what)
  process.exit(3)
}
