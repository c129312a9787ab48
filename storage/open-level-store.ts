import { readdir, rm, statfs } from 'node:fs/promises'
import { ClassicLevel } from 'classic-level'
import type { DataDirectory } from './data-directory.ts'
import type { Digests } from '#protocol/digests'
import { LevelStore } from './level-store.ts'
import { StartRecord } from './start-record.ts'
import type { StoreWarning } from './store-warning.ts'
import { beforeOpening, isReadable, keepFiles, salvage } from './salvage.ts'
import { lockDirectory } from './directory-lock.ts'
import { join } from 'node:path'
import { writeBufferBytes } from './disk-reserve.ts'

export interface LevelStoreOptions {
  readonly directory: DataDirectory
  readonly digests: Digests
  readonly onWarning: (warning: StoreWarning) => void
}

const views = { keyEncoding: 'view', valueEncoding: 'view' } as const

/** A run that lives longer did not die of opening. */
const settledAfterMs = 120_000

/**
 * Opens the level store of a data directory on classic-level. Rejects with DATA_LOCKED or DATA_UNUSABLE. Closing it
 * releases the directory.
 *
 * A database that does not open, that made runs before this one die, or that comes back without files that it had is moved
 * aside; what can be read of it is in its place when this resolves (`salvage.ts`), and the rest the neighbors have.
 */
export async function openLevelStore(options: LevelStoreOptions): Promise<LevelStore> {
  const { directory } = options
  const unlock = await lockDirectory(directory)
  try {
    return await new Opening(options, await StartRecord.begin(directory.path), unlock).open()
  } catch (error) {
    await unlock()
    throw directory.unusableError(error)
  }
}

class Opening {
  readonly #options: LevelStoreOptions
  readonly #starts: StartRecord
  readonly #unlock: () => Promise<void>
  readonly #database: string
  readonly #settled: NodeJS.Timeout
  #opened: LevelStore | undefined

  constructor(options: LevelStoreOptions, starts: StartRecord, unlock: () => Promise<void>) {
    this.#options = options
    this.#starts = starts
    this.#unlock = unlock
    this.#database = join(options.directory.path, 'level')
    this.#settled = setTimeout(() => void starts.settled().catch(() => {}), settledAfterMs).unref()
  }

  async open(): Promise<LevelStore> {
    const suspicion = await this.#suspicion()
    const store = suspicion === undefined ? await this.#openOrSalvage() : await this.#salvage(suspicion, false)
    const { lastAppend } = store
    const was = this.#starts.appends
    if (lastAppend < was) this.#options.onWarning({ type: 'databaseShorter', appends: lastAppend, was })
    await this.#starts.opened(lastAppend)
    this.#opened = store
    return store
  }

  /** Why the database is not to be opened as it is. */
  async #suspicion(): Promise<string | undefined> {
    const { damage, isSuspect } = this.#starts
    if (damage !== undefined) return damage
    if (!isSuspect || (await tablesIn(this.#database)).length === 0) return undefined
    if (!(await isReadable(this.#database, this.#options.directory.cluster)))
      return 'a process that reads it does not get to its end'
    await this.#starts.cleared()
    return undefined
  }

  async #openOrSalvage(): Promise<LevelStore> {
    const before = beforeOpening(this.#database)
    // Where there are no links, a damaged manifest costs what it leaves out.
    await keepFiles(this.#database).catch(() => {})
    try {
      const store = await this.#openDatabase()
      if (!(await this.#isIncomplete(store))) {
        await rm(before, { recursive: true, force: true })
        return store
      }
      await store.close()
    } catch (error) {
      if (!isDamage(error)) throw error
      return this.#salvage(messageOf(error), false)
    }
    return this.#salvage('it came back without files that it had', true)
  }

  /** LevelDB deletes tables that it does not know; it does not know those that a damaged manifest leaves out. */
  async #isIncomplete(store: LevelStore): Promise<boolean> {
    if (store.lastAppend >= this.#starts.appends && store.isComplete) return false
    const left = new Set(await tablesIn(this.#database))
    return (await tablesIn(beforeOpening(this.#database))).some((table) => !left.has(table))
  }

  async #salvage(reason: string, isIncomplete: boolean): Promise<LevelStore> {
    const { onWarning } = this.#options
    onWarning({ type: 'databaseDamaged', database: this.#database, reason })
    const salvaged = await salvage(this.#database, isIncomplete)
    await this.#starts.cleared()
    onWarning({ type: 'databaseSalvaged', ...salvaged })
    return this.#openDatabase()
  }

  async #openDatabase(): Promise<LevelStore> {
    const { directory, ...deps } = this.#options
    const { cluster } = directory
    // One with tables is not to be made anew because its CURRENT is gone.
    const createIfMissing = (await tablesIn(this.#database)).length === 0
    const { blocks, bsize } = await statfs(directory.path)
    const tableBytes = writeBufferBytes(blocks * bsize)
    const options = { ...views, createIfMissing, writeBufferSize: tableBytes, maxFileSize: tableBytes }
    const db = new ClassicLevel<Uint8Array, Uint8Array>(this.#database, options)
    try {
      await db.open()
      const onFailure = (error: unknown): void => this.#writingFailed(error)
      return await LevelStore.open({ ...deps, db, cluster, onFailure, onClosed: () => this.#closed() })
    } catch (error) {
      await db.close()
      throw error
    }
  }

  /** Compactions read what nobody has read for long. One that meets damage is the end of all writing, at each start. */
  #writingFailed(error: unknown): void {
    const text = messageOf(error)
    if (/Corruption|No such file/.test(text)) this.#starts.damaged(text)
  }

  /** The store that is given out, or one that is not. */
  async #closed(): Promise<void> {
    if (this.#opened === undefined) return
    clearTimeout(this.#settled)
    await this.#starts.ended(this.#opened.lastAppend)
    await this.#unlock()
  }
}

async function tablesIn(database: string): Promise<readonly string[]> {
  const names = await readdir(database).catch(() => [])
  return names.filter((name) => name.endsWith('.ldb'))
}

/** What goes wrong around a database, and is not its fault. */
const circumstances = /Permission denied|No space left|Too many open files|Read-only file system|Not a directory/

/** LevelDB says what is wrong with it in words, and abstract-level gives them as the cause of its own. */
const isDamage = (error: unknown): boolean => {
  const text = messageOf(error)
  return /Corruption|IO error|NotFound|Invalid argument|does not exist/.test(text) && !circumstances.test(text)
}

function messageOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined
  return cause === undefined ? String(error) : messageOf(cause)
}
