import { ClassicLevel } from 'classic-level'
import { type FeedKey, NOTHING, type Opening, feedKeyOf } from '#protocol/log/feed'
import type { FeedStore, StoredFeed } from '#storage/feed-store'
import { batchHash, openingOf, readBatchHeader, verifyBatch } from '#protocol/log/batch'
import {
  batchesRange,
  deletionRange,
  directoryRange,
  endOfBatchKey,
  feedNumberOf,
  unsealed,
} from '#storage/level-layout'
import { randomIndex } from '#protocol/random'
import type { Random } from '#protocol/machine'
import { assert } from '#protocol/assert'
import { fileURLToPath } from 'node:url'
import { nodeDigests } from '#node/node-digests'
import { once } from 'node:events'
import { openDataDirectory } from '#storage/data-directory'
import { openLevelStore } from '#storage/open-level-store'
import { spawn } from 'node:child_process'
import { textOf } from '#protocol/text'
import { text } from 'node:stream/consumers'
import type { Told } from './told.ts'

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

/** Runs a writer on `path`, kills it with SIGKILL, and gives what it told until then. */
export async function crash(path: string, moment: KillMoment): Promise<readonly Told[]> {
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
  // The last line may be cut off: it was so, but nobody was told.
  return lines
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Told)
}

type Feeds = ReadonlyMap<FeedKey, StoredFeed>
type OfType<T extends Told['type']> = Extract<Told, { type: T }>

/**
 * Opens the store that a crash left behind and says everything that is wrong with it, given what was told in the last run.
 * All other feeds are looked at too when `thorough`.
 */
export async function faultsAfter(path: string, told: readonly Told[], thorough: boolean): Promise<string[]> {
  const faults: string[] = []
  const onWarning = (warning: object) => void faults.push(`warning ${JSON.stringify(warning)}`)
  const directory = await openDataDirectory({ path, cluster: 'grove' })
  const store = await openLevelStore({ directory, digests: nodeDigests, onWarning })
  const feeds: Feeds = new Map((await store.feeds()).map((feed) => [feedKeyOf(feed.feed), feed]))
  const byFeed = Map.groupBy(told, ({ feed }) => feed)
  for (const [key, ofFeed] of byFeed) {
    const mayBeAbsent = ofFeed.every(({ ordered }) => ordered === true) || ofFeed.some(({ type }) => type === 'forget')
    if (!feeds.has(key as FeedKey) && !mayBeAbsent) faults.push(`${key}: all of it is lost`)
  }
  for (const [key, feed] of feeds) {
    const ofFeed = byFeed.get(key) ?? []
    if (thorough || ofFeed.length > 0) faults.push(...(await contentFaults(store, feed, ofFeed)))
    if (ofFeed.length > 0) faults.push(...(await clockFaults(store, feed)), ...changeFaults(feed, ofFeed))
    faults.push(...linkFaults(feed, feeds))
  }
  faults.push(...forgetFaults(feeds, told))
  await store.close()
  return [...faults, ...(await leftovers(path, feeds))]
}

async function contentFaults(store: FeedStore, feed: StoredFeed, told: readonly Told[]): Promise<string[]> {
  const key = feedKeyOf(feed.feed)
  const faults: string[] = []
  const hashes = new Map<number, string>([[feed.head.nextOffset, feed.head.hash]])
  let position: number = NOTHING
  let hash: string | undefined
  while (position < feed.head.nextOffset) {
    const { batches, damaged } = await store.read(feed.feed, position, 1024 * 1024)
    for (const bytes of batches) {
      const header = readBatchHeader(bytes)
      assert(typeof header !== 'string', 'a read checks headers')
      if (verifyBatch(bytes, nodeDigests) !== undefined) faults.push(`${key}: damaged batch after ${position}`)
      const goesOn = hash !== undefined && header.baseOffset === position
      if (goesOn && header.previousHash !== hash) faults.push(`${key}: chain broken at ${position}`)
      position = header.nextOffset
      hash = batchHash(bytes, nodeDigests)
      hashes.set(position, hash)
    }
    if (damaged === undefined && batches.length === 0) break
    if (damaged === undefined) continue
    const isKnown = feed.holes.some(({ from, to }) => from === damaged.from && to === damaged.to)
    if (!isKnown) return [...faults, `${key}: damaged from ${damaged.from} to ${damaged.to}`]
    position = damaged.to
    hash = undefined
  }
  if (position === feed.head.nextOffset && hash !== undefined && hash !== feed.head.hash)
    faults.push(`${key}: the head is not the hash of the last batch`)
  for (const { nextOffset, hash: promised } of told.filter((one): one is OfType<'batch'> => one.type === 'batch')) {
    const isGone =
      nextOffset <= feed.keptFrom || feed.holes.some(({ from, to }) => from < nextOffset && nextOffset <= to)
    if (!isGone && hashes.get(nextOffset) !== promised) faults.push(`${key}: batch up to ${nextOffset} lost`)
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

/** A confirmed change is there, and none that was not ordered. */
function changeFaults({ feed, floor, keptFrom, holes }: StoredFeed, told: readonly Told[]): string[] {
  const faults: string[] = []
  for (const one of told) {
    if (one.ordered === true) continue
    if (one.type === 'floor' && floor.nextOffset < one.offset) faults.push(`floor ${one.offset} is ${floor.nextOffset}`)
    if (one.type === 'kept' && keptFrom < one.offset) faults.push(`kept from ${one.offset} is ${keptFrom}`)
  }
  const repairs = told.filter(({ type }) => type === 'holes' || type === 'fill')
  const isFilled = repairs.at(-1)?.type === 'fill' && repairs.at(-1)?.ordered !== true
  const isDamaged = repairs.at(-1)?.type === 'holes'
  if (isFilled && holes.length > 0) faults.push('a hole that was filled')
  if (repairs.length === 0 && holes.length > 0 && told.length > 0) faults.push('a hole that nobody ordered')
  if (isDamaged && holes.length > 1) faults.push('more holes than one')
  return faults.map((fault) => `${feedKeyOf(feed)}: ${fault}`)
}

/** A feed links to where its predecessor ended, and that one never gets longer here; or its predecessor was forgotten. */
function linkFaults({ feed, opening, rooted }: StoredFeed, all: Feeds): string[] {
  const link = opening.predecessor
  if (link === undefined || rooted) return []
  const before = all.get(feedKeyOf({ ...feed, epoch: link.epoch }))
  const holds = before?.head.nextOffset === link.nextOffset && before.head.hash === link.hash
  return holds ? [] : [`${feedKeyOf(feed)}: does not link to the end of ${link.epoch}`]
}

function forgetFaults(feeds: Feeds, told: readonly Told[]): string[] {
  const forgotten = told.filter((one): one is OfType<'forget'> => one.type === 'forget' && one.ordered !== true)
  return forgotten.flatMap(({ feed, rooted }) => [
    ...(feeds.has(feed as FeedKey) ? [`${feed}: it was forgotten`] : []),
    ...(feeds.get(rooted as FeedKey)?.rooted === false ? [`${rooted}: its predecessor was forgotten`] : []),
  ])
}

/** What was let go of is deleted once the store was open again: in the database itself nothing of it is left. */
async function leftovers(path: string, feeds: Feeds): Promise<string[]> {
  const db = new ClassicLevel<Uint8Array, Uint8Array>(`${path}/level`, { keyEncoding: 'view', valueEncoding: 'view' })
  await db.open()
  const numbered = new Map<number, StoredFeed>()
  for await (const [key, value] of db.iterator(directoryRange)) {
    const opening = openingOf(unsealed(key, value) ?? value)
    if (typeof opening === 'string') continue
    const feed = [...feeds.values()].find((one) => nameOf(one.opening) === nameOf(opening))
    if (feed !== undefined) numbered.set(feedNumberOf(key), feed)
  }
  const left = new Set<string>()
  for await (const key of db.keys(batchesRange)) {
    const number = feedNumberOf(key)
    const feed = numbered.get(number)
    const end = endOfBatchKey(number, key) ?? NOTHING
    if (feed === undefined) left.add(`feed ${number} was forgotten, and its batches were not deleted`)
    else if (end <= feed.keptFrom && end !== (feed.opening.predecessor?.nextOffset ?? 0)) {
      left.add(`${feedKeyOf(feed.feed)}: kept from ${feed.keptFrom}, and a batch up to ${end} was not deleted`)
    }
  }
  const deletions = await db.keys(deletionRange).all()
  await db.close()
  if (deletions.length > 0) left.add(`${deletions.length} deletions were not finished`)
  if (numbered.size !== feeds.size) left.add(`${feeds.size} feeds, and ${numbered.size} in the directory`)
  return [...left]
}

const nameOf = ({ topic, writer, epoch }: Opening): string => `${topic}/${writer}/${epoch}`

export interface CrashReport {
  readonly round: number
  readonly moment: KillMoment
  readonly confirmed: number
  /** Changes that were confirmed, by their type. */
  readonly changes: Readonly<Record<string, number>>
  readonly faults: readonly string[]
}

/** Round after round on one directory; the last one looks at everything that all of them left. */
export async function* crashRounds(path: string, rounds: number, random: Random): AsyncGenerator<CrashReport> {
  for (let round = 1; round <= rounds; round++) {
    const moment = killMoment(random)
    const told = await crash(path, moment)
    const faults = await faultsAfter(path, told, round === rounds)
    const confirmed = Map.groupBy(
      told.filter(({ ordered }) => ordered !== true),
      ({ type }) => type,
    )
    const { batch = 0, ...changes } = Object.fromEntries(Array.from(confirmed, ([type, all]) => [type, all.length]))
    yield { round, moment, confirmed: batch, changes, faults }
  }
}
