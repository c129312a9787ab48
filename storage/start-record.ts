import { readFile, rename, writeFile } from 'node:fs/promises'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

interface Record {
  /** Runs in a row that were over before they had settled, and that did not end well, this one included. */
  readonly early: number
  readonly unclean: number
  /** Appends that the database is known to hold. */
  readonly appends: number
  /** What a run saw of damage that it could not live with. */
  readonly damage?: string
}

const fresh: Record = { early: 0, unclean: 0, appends: 0 }

/** Deaths in a row after which a database is looked at before it is opened. A kill looks the same as an abort. */
const earlyMax = 2
const uncleanMax = 4

/**
 * How the runs of a database went, in a small file beside it: LevelDB may end the process when it meets damage, and then only
 * the next one can do something about it.
 */
export class StartRecord {
  readonly #path: string
  #record: Record

  static async begin(directory: string): Promise<StartRecord> {
    const path = join(directory, 'starts.json')
    const found = await readRecord(path)
    const begun = new StartRecord(path, found)
    await begun.#write({ ...found, early: found.early + 1, unclean: found.unclean + 1 })
    return begun
  }

  private constructor(path: string, record: Record) {
    this.#path = path
    this.#record = record
  }

  get appends(): number {
    return this.#record.appends
  }

  get damage(): string | undefined {
    return this.#record.damage
  }

  /** Did runs before this one die so often that the database may be why? */
  get isSuspect(): boolean {
    return this.#record.early > earlyMax || this.#record.unclean > uncleanMax
  }

  /** The database has been looked at, or made anew. */
  async cleared(): Promise<void> {
    await this.#write({ ...fresh, early: 1, unclean: 1 })
  }

  async opened(appends: number): Promise<void> {
    const { early, unclean } = this.#record
    await this.#write({ early, unclean, appends })
  }

  /** This run has lived for a while. */
  async settled(): Promise<void> {
    await this.#write({ ...this.#record, early: 0 })
  }

  /** In good order; damage that was met is met again. */
  async ended(appends: number): Promise<void> {
    const { damage } = this.#record
    await this.#write({ ...fresh, appends, ...(damage !== undefined && { damage }) })
  }

  /** At once, since the process is about to end. */
  damaged(what: string): void {
    this.#record = { ...this.#record, damage: what }
    writeFileSync(this.#path, JSON.stringify(this.#record))
  }

  // Not synced: what it counts are deaths of processes, and those leave what the kernel was given.
  async #write(record: Record): Promise<void> {
    this.#record = record
    await writeFile(`${this.#path}.new`, JSON.stringify(record))
    await rename(`${this.#path}.new`, this.#path)
  }
}

async function readRecord(path: string): Promise<Record> {
  try {
    const found = JSON.parse(await readFile(path, 'utf8')) as Partial<Record> | null
    return { ...fresh, ...found }
  } catch {
    return fresh
  }
}
