import { type FeedId, NOTHING, feedKeyOf, parseFeedKey } from '#protocol/log/feed'
import type { FeedStore, StoredFeed } from '#storage/feed-store'
import { batchHash, readBatchHeader, verifyBatch } from '#protocol/log/batch'
import { randomIndex } from '#protocol/random'
import type { Random } from '#protocol/machine'
import { assert } from '#protocol/assert'
import { fileURLToPath } from 'node:url'
import { nodeDigests } from '#node/node-digests'
import { once } from 'node:events'
import { openDataDirectory } from '#storage/data-directory'
import { openLevelStore } from '#storage/level-store'
import { spawn } from 'node:child_process'
import { textOf } from '#protocol/text'
import { text } from 'node:stream/consumers'

export interface Confirmed {
  readonly feed: FeedId
  readonly nextOffset: number
  readonly hash: string
}

/** When to kill: so many milliseconds after the writer was started, or after it had its first batch confirmed. */
export interface KillMoment {
  readonly after: 'spawn' | 'firstBatch'
  readonly ms: number
}

/** One round in four hits the start of the process: opening, recovery, the first append. */
export function killMoment(random: Random): KillMoment {
  return random.next() < 0.25
    ? { after: 'spawn', ms: 30 + randomIndex(random, 600) }
    : { after: 'firstBatch', ms: randomIndex(random, 300) }
}

/** Runs a writer on `path`, kills it with SIGKILL, and gives the batches that it had been told are on disk. */
export async function crash(path: string, moment: KillMoment): Promise<readonly Confirmed[]> {
  const writer = spawn(process.execPath, [fileURLToPath(new URL('writer.ts', import.meta.url)), path])
  const kill = () => void setTimeout(() => writer.kill('SIGKILL'), moment.ms)
  if (moment.after === 'spawn') kill()
  else writer.stdout.once('data', kill)
  const [lines, complaints, [code, signal]] = await Promise.all([
    text(writer.stdout),
    text(writer.stderr),
    once(writer, 'close'),
  ])
  assert(signal === 'SIGKILL', `the writer stopped by itself, with ${String(code)}: ${complaints}`)
  // The last line may be cut off: that batch was confirmed, but nobody was told.
  return lines.split('\n').slice(0, -1).map(parseLine)
}

function parseLine(line: string): Confirmed {
  const [key = '', nextOffset, hash = ''] = line.split(' ')
  const feed = parseFeedKey(key)
  assert(feed !== undefined, 'the writer prints feed keys')
  return { feed, nextOffset: Number(nextOffset), hash }
}

/**
 * Opens the store that a crash left behind and says everything that is wrong with it, given what was confirmed in the
 * last run. All other feeds are looked at too when `thorough`.
 */
export async function faultsAfter(path: string, confirmed: readonly Confirmed[], thorough: boolean): Promise<string[]> {
  const faults: string[] = []
  const onWarning = (warning: object) => void faults.push(`warning ${JSON.stringify(warning)}`)
  const directory = await openDataDirectory({ path, cluster: 'grove' })
  const store = await openLevelStore({ directory, digests: nodeDigests, onWarning })
  const promised = Map.groupBy(confirmed, ({ feed }) => feedKeyOf(feed))
  const stored = new Map((await store.feeds()).map((feed) => [feedKeyOf(feed.feed), feed]))
  for (const [key, batches] of promised) if (!stored.has(key)) faults.push(`${key}: ${batches.length} batches lost`)
  for (const [key, feed] of stored) {
    const batches = promised.get(key) ?? []
    if (thorough || batches.length > 0) faults.push(...(await faultsOf(store, feed, batches)))
    if (batches.length > 0) faults.push(...(await clockFaults(store, feed)))
  }
  for (const feed of stored.values()) faults.push(...linkFaults(feed, [...stored.values()]))
  await store.close()
  return faults
}

async function faultsOf(store: FeedStore, feed: StoredFeed, promised: readonly Confirmed[]): Promise<string[]> {
  const key = feedKeyOf(feed.feed)
  const faults: string[] = []
  const hashes = new Map<number, string>([[feed.head.nextOffset, feed.head.hash]])
  let position: number = NOTHING
  let hash: string | undefined
  while (position < feed.head.nextOffset && feed.keptFrom < feed.head.nextOffset) {
    for (const bytes of await store.read(feed.feed, position, 1024 * 1024)) {
      const header = readBatchHeader(bytes)
      assert(typeof header !== 'string', 'a read checks headers')
      if (verifyBatch(bytes, nodeDigests) !== undefined) faults.push(`${key}: damaged batch after ${position}`)
      if (hash !== undefined && header.previousHash !== hash) faults.push(`${key}: chain broken at ${position}`)
      position = header.nextOffset
      hash = batchHash(bytes, nodeDigests)
      hashes.set(position, hash)
    }
  }
  if (hash !== undefined && hash !== feed.head.hash) faults.push(`${key}: the head is not the hash of the last batch`)
  for (const { nextOffset, hash: promisedHash } of promised) {
    const trimmed = nextOffset < feed.keptFrom || (nextOffset === feed.keptFrom && !hashes.has(nextOffset))
    if (!trimmed && hashes.get(nextOffset) !== promisedHash) faults.push(`${key}: batch up to ${nextOffset} lost`)
  }
  return faults
}

/** Metadata that was handed over before a batch is never on disk after it. */
async function clockFaults(store: FeedStore, { feed, hlcMs }: StoredFeed): Promise<string[]> {
  const clock = await store.getMeta(`clock/${feedKeyOf(feed)}`)
  const clockMs = Number(clock === undefined ? Number.NaN : textOf(clock))
  // An opening batch comes without.
  return clockMs >= hlcMs || clock === undefined
    ? []
    : [`${feedKeyOf(feed)}: clock ${clockMs} behind its batch ${hlcMs}`]
}

/** A feed links to where its predecessor ended. Here that one never gets longer afterwards. */
function linkFaults({ feed, opening }: StoredFeed, all: readonly StoredFeed[]): string[] {
  const link = opening.predecessor
  if (link === undefined) return []
  const before = all.find((other) => other.feed.epoch === link.epoch && other.feed.topicId === feed.topicId)
  const holds = before?.head.nextOffset === link.nextOffset && before.head.hash === link.hash
  return holds ? [] : [`${feedKeyOf(feed)}: does not link to the end of ${link.epoch}`]
}

export interface CrashReport {
  readonly round: number
  readonly moment: KillMoment
  readonly confirmed: number
  readonly faults: readonly string[]
}

/** Round after round on one directory; the last one looks at everything that all of them left. */
export async function* crashRounds(path: string, rounds: number, random: Random): AsyncGenerator<CrashReport> {
  for (let round = 1; round <= rounds; round++) {
    const moment = killMoment(random)
    const confirmed = await crash(path, moment)
    const faults = await faultsAfter(path, confirmed, round === rounds)
    yield { round, moment, confirmed: confirmed.length, faults }
  }
}
