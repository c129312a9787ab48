// Goal: kill -9 a peer under load and start it on the same directory: nothing acked is missing, it catches up, its new feed
// goes on from the old one, and readers see its records in order. The moment of the kill is drawn from a printed seed.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { nodeDigests } from '#node/node-digests'
import { batchHash, readBatchHeader } from '#protocol/log/batch'
import { type FeedId, NOTHING } from '#protocol/log/feed'
import { SeededRandom } from '#protocol/random'
import { openDataDirectory } from '#storage/data-directory'
import type { FeedStore, StoredFeed } from '#storage/feed-store'
import { openLevelStore } from '#storage/open-level-store'
import { eventually, type ProcessPeer, startMesh } from './process-peer.ts'
import { isConverged, offsetsOf, readAll } from './topic-contents.ts'

let directory = ''
let peers: ProcessPeer[] = []
const seed = Number(process.env['CRASH_SEED'] ?? Date.now() % 2 ** 31)
const random = new SeededRandom(seed)

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'grapevine-crash-'))
  peers = await startMesh(directory, ['oak', 'elm', 'ash'])
})

afterAll(async () => {
  for (const one of peers) await one[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

/** Publishes to this peer until it dies; what it acked, by id. */
async function publishUntilDeath(peer: ProcessPeer, boot: number, acked: string[], dead: AbortSignal): Promise<void> {
  for (let i = 0; ; i++) {
    try {
      const { id } = await peer.client.publish('orders', `boot ${boot}, record ${i}`, { signal: dead })
      acked.push(id)
    } catch {
      return
    }
  }
}

test(`a peer killed three times under load loses nothing that it acked (seed ${seed})`, async () => {
  const acked: string[] = []
  for (let boot = 0; boot < 3; boot++) {
    const elm = peers[1] as ProcessPeer
    // It would ask again until its peer is back.
    const dead = new AbortController()
    const published = Promise.all(Array.from({ length: 4 }, () => publishUntilDeath(elm, boot, acked, dead.signal)))
    const enough = acked.length + 50 + Math.floor(random.next() * 300)
    await eventually('enough is acked', async () => acked.length >= enough)
    expect(await elm.end('SIGKILL')).toBe('SIGKILL')
    dead.abort()
    await published
    peers[1] = await elm.restart()
  }
  await peers[1]?.client.publish('orders', 'after the last boot', { ack: 'all', wait: '20s' })
  await eventually('all three hold the same', () => isConverged(peers, 'orders'))
  let boots: string[] = []
  for (const peer of peers) {
    const lines = await readAll(peer, 'orders')
    const ids = new Set(lines.map((line) => line.split(' ', 1)[0]))
    expect(acked.filter((id) => !ids.has(id))).toEqual([])
    // Each boot's feed begins where its predecessor's link says, so offsets of one writer go on without holes. What the
    // killed peer had pushed and not yet fsynced may come back from the others beyond a link: then an offset appears twice.
    const feeds = new Map<string, number[]>()
    for (const line of lines) {
      const [writer, epoch, offset] = (line.split(' ', 1)[0] as string).split('.') as [string, string, string]
      feeds.set(`${writer}.${epoch}`, [...(feeds.get(`${writer}.${epoch}`) ?? []), Number(offset)])
    }
    expect(feeds.size).toBe(4)
    for (const offsets of feeds.values()) expect(offsets).toEqual(offsets.map((_, i) => (offsets[0] ?? 0) + i))
    boots = [...feeds.keys()].map((feed) => feed.split('.')[1] as string)
    const starts = [...feeds.values()].map(([first]) => first ?? 0)
    expect(starts).toEqual(starts.toSorted((a, b) => a - b))
    expect(new Set(offsetsOf(lines, peers[1]?.peerId ?? '')).size).toBe(Math.max(...starts) + 1)
  }
  expect(await peers[1]?.end('SIGTERM')).toBe(0)
  // What an opening links to is looked up in the feed before: where its disk ended at that boot, by offset and hash.
  const links = await linksOnDisk(`${directory}/elm`)
  expect(links).toEqual(boots.map((epoch, i) => ({ epoch, predecessor: boots[i - 1], isOfItsChain: i > 0 })))
})

interface LinkOnDisk {
  readonly epoch: string
  readonly predecessor: string | undefined
  /** Does the predecessor have a batch that ends at the link, with its hash? */
  readonly isOfItsChain: boolean
}

/** The feeds in the directory of a stopped peer, which alone has written, in the order of their offsets. */
async function linksOnDisk(path: string): Promise<LinkOnDisk[]> {
  const store = await openLevelStore({
    directory: await openDataDirectory({ path, cluster: 'grapevine' }),
    digests: nodeDigests,
    onWarning: (warning) => expect.unreachable(`the store found damage: ${JSON.stringify(warning)}`),
  })
  try {
    const feeds = (await store.feeds()).filter(({ opening }) => opening.topic === 'orders')
    const chains = new Map<string, Map<number, string>>()
    for (const { feed, head } of feeds) chains.set(feed.epoch, await hashesByEnd(store, feed, head.nextOffset))
    const start = ({ opening }: StoredFeed) => opening.predecessor?.nextOffset ?? 0
    return feeds
      .toSorted((a, b) => start(a) - start(b))
      .map(({ feed, opening: { predecessor } }) => ({
        epoch: feed.epoch,
        predecessor: predecessor?.epoch,
        isOfItsChain:
          predecessor !== undefined && chains.get(predecessor.epoch)?.get(predecessor.nextOffset) === predecessor.hash,
      }))
  } finally {
    await store.close()
  }
}

/** SHA-256 of each batch, by its nextOffset. */
async function hashesByEnd(store: FeedStore, feed: FeedId, nextOffset: number): Promise<Map<number, string>> {
  const hashes = new Map<number, string>()
  let position: number = NOTHING
  while (position < nextOffset) {
    for (const bytes of (await store.read(feed, position, 1024 * 1024)).batches) {
      const header = readBatchHeader(bytes)
      if (typeof header === 'string') throw new Error(`a batch of ${feed.epoch} after ${position}: ${header}`)
      position = header.nextOffset
      hashes.set(position, batchHash(bytes, nodeDigests))
    }
  }
  return hashes
}
