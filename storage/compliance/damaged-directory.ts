import { mkdtemp, readFile, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { createHash, randomBytes } from 'node:crypto'
import { expect, onTestFinished } from 'vitest'
import { textOf, utf8 } from '#protocol/text'
import type { BatchToStore, FeedStore } from '../feed-store.ts'
import { ClassicLevel } from 'classic-level'
import type { Digests } from '#protocol/digests'
import { LevelStore } from '../level-store.ts'
import { NOTHING } from '#protocol/log/feed'
import { SampleFeed } from '../sample-feed.ts'
import type { StoreWarning } from '../store-warning.ts'
import { crc32 } from 'node:zlib'
import { join } from 'node:path'
import { openDataDirectory } from '../data-directory.ts'
import { openLevelStore } from '../open-level-store.ts'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { once } from 'node:events'
import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import type { Hash } from '#protocol/ids'

const reader = fileURLToPath(new URL('read-process.ts', import.meta.url))
const digests: Digests = { crc32, sha256: (bytes) => createHash('sha256').update(bytes).digest() }
const views = { keyEncoding: 'view', valueEncoding: 'view' } as const
/** So that a few batches are many tables and edits of the manifest. */
const small = { ...views, writeBufferSize: 65_536, maxFileSize: 65_536 }

/** A data directory with real LevelDB files, to be damaged as disks and people do, and what was written there. */
export class DamagedDirectory {
  readonly path: string
  readonly warnings: StoreWarning[] = []
  readonly #written = new Map<SampleFeed, BatchToStore[]>()

  static async create(): Promise<DamagedDirectory> {
    const path = await mkdtemp(join(tmpdir(), 'grapevine-salvage-'))
    onTestFinished(() => rm(path, { recursive: true }))
    const damaged = new DamagedDirectory(path)
    await damaged.#fill()
    return damaged
  }

  private constructor(path: string) {
    this.path = path
  }

  /** Eight feeds of twenty batches; the last ones are in the log, the others in tables. */
  async #fill(): Promise<void> {
    await (await this.open()).close()
    const db = new ClassicLevel<Uint8Array, Uint8Array>(join(this.path, 'level'), small)
    const store = await LevelStore.open({ db, cluster: 'grove', digests, onWarning: () => {} })
    const feeds = Array.from(
      { length: 8 },
      (_, index) => new SampleFeed({ epoch: `${index}`.padStart(16, '0'), digests }),
    )
    for (const feed of feeds) this.#written.set(feed, [feed.open()])
    await store.append([...this.#written.values()].flat(), [{ type: 'meta', key: 'registry', value: utf8('oak') }])
    for (let round = 0; round < 20; round++) {
      const batches = feeds.map((feed) => feed.batch(randomBytes(12_000)))
      await store.append(batches)
      for (const [index, feed] of feeds.entries()) this.#written.get(feed)?.push(batches[index] as BatchToStore)
    }
    await store.close()
  }

  async open(): Promise<FeedStore> {
    const directory = await openDataDirectory({ path: this.path, cluster: 'grove' })
    const onWarning = (warning: StoreWarning) => void this.warnings.push(warning)
    return openLevelStore({ directory, digests, onWarning })
  }

  async files(name: string): Promise<readonly string[]> {
    const names = await readdir(join(this.path, 'level'))
    return names.filter((one) => one.includes(name)).map((one) => join(this.path, 'level', one))
  }

  /** How many batches are there. Each is one that was written, in its place; and what a store says is missing can come back. */
  async check(): Promise<number> {
    const store = await this.open()
    let count = 0
    for (const [feed, batches] of this.#written) count += await batchesIn(store, feed, batches)
    // Which table has it is up to LevelDB: that may be the one that was damaged.
    if (count === all) expect(textOf((await store.getMeta('registry')) ?? utf8(''))).toBe('oak')
    await refill(store, this.#written)
    await store.close()
    const again = await this.open()
    for (const [feed, batches] of this.#written) expect(await batchesIn(again, feed, batches)).toBe(batches.length)
    await again.close()
    return count
  }

  /** Opens it in another process, which LevelDB may abort: undefined then, else how many of the batches are there. */
  async readElsewhere(): Promise<number | undefined> {
    const child = spawn(process.execPath, [reader, this.path], { stdio: ['ignore', 'pipe', 'ignore'] })
    const [lines, [code]] = await Promise.all([text(child.stdout), once(child, 'close')])
    if (code !== 0) return undefined
    const written = new Set(
      Array.from(this.#written.values(), (batches) => batches.map(({ head }) => head.hash)).flat(),
    )
    const found = lines.split('\n').slice(0, -1)
    for (const hash of found) expect(written.has(hash as Hash)).toBe(true)
    return found.length
  }

  get said(): readonly string[] {
    return this.warnings.map(({ type }) => type)
  }
}

async function batchesIn(store: FeedStore, { id }: SampleFeed, written: readonly BatchToStore[]): Promise<number> {
  let count = 0
  for (let position = NOTHING; ;) {
    const { batches, damaged } = await store.read(id, position, 1e9)
    for (const [index, bytes] of batches.entries()) {
      // Each batch but the opening one has one record: they end at 0, 1, 2, …
      expect(Buffer.compare(bytes, written[position + 1 + index]?.bytes ?? new Uint8Array())).toBe(0)
    }
    count += batches.length
    if (damaged === undefined) return count
    expect(damaged.to).toBeGreaterThan(position)
    position = damaged.to
  }
}

/** As replication would: what is damaged is filled in, and what the feed has lost at its end is appended. */
async function refill(store: FeedStore, written: ReadonlyMap<SampleFeed, readonly BatchToStore[]>): Promise<void> {
  for (const [{ id: feed }, batches] of written) {
    const known = (await store.feeds()).find((one) => one.feed.epoch === feed.epoch)
    const head = known?.head.nextOffset ?? NOTHING
    for (let position = 0; known !== undefined;) {
      const { batches: found, damaged } = await store.read(feed, position, 1e9)
      if (damaged === undefined) break
      const { from, to } = damaged
      await store.append([], [{ type: 'holes', feed, holes: [damaged] }])
      await store.append([], [{ type: 'fill', feed, batches: batches.slice(from + 1, to + 1), holes: [] }])
      expect(position + found.length).toBeLessThanOrEqual(from)
      position = to
    }
    await store.append(batches.slice(head + 1))
  }
}

/** Batches that were written. */
export const all = 8 * 21

export async function flip(file: string, at: number, bit = 2): Promise<void> {
  const bytes = await readFile(file)
  bytes[at] = (bytes[at] ?? 0) ^ (1 << bit)
  await writeFile(file, bytes)
}

export const cutOff = (share: number) => async (file: string) =>
  truncate(file, Math.floor((await stat(file)).size * share))
