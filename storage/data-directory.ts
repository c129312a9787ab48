import { link, mkdir, open, readFile, rm, writeFile } from 'node:fs/promises'
import { MeshError } from '#protocol/errors'
import { dirname, join } from 'node:path'
import { randomUUID } from 'node:crypto'
import { textOf, utf8 } from '#protocol/text'

/** Rises when a new version can no longer be read by the version before it (see README.md). */
export const dataFormat = 1

export interface DataDirectoryOptions {
  /** As the person wrote it: messages repeat it. */
  readonly path: string
  readonly cluster: string
}

interface Manifest {
  readonly format: number
  readonly cluster: string
  /** ISO 8601; for people. */
  readonly created: string
}

/**
 * What a peer keeps on disk: `grapevine.json`, `peer.pid`, the identity, and the engine's own folder.
 *
 * The lock is the engine's, because the kernel releases that one at any death, also across containers that share a
 * volume and see other pids. `peer.pid` is there to name its holder.
 */
export class DataDirectory {
  readonly path: string
  readonly cluster: string

  /** Use `openDataDirectory`. */
  constructor(options: DataDirectoryOptions) {
    this.path = options.path
    this.cluster = options.cluster
  }

  /**
   * The file's bytes; if there is none, `make` says them, and they are on disk when this resolves. Two processes that
   * do this at once get the same bytes. Rejects with DATA_UNUSABLE.
   */
  async readOrCreateFile(
    name: string,
    mode: number,
    make: () => Uint8Array | Promise<Uint8Array>,
  ): Promise<Uint8Array> {
    const file = join(this.path, name)
    try {
      return (await readIfExists(file)) ?? (await createFile(file, mode, await make()))
    } catch (error) {
      throw unusable(this.path, error)
    }
  }

  /** For an engine that has just locked the directory. */
  async nameHolder(): Promise<void> {
    try {
      await writeFile(join(this.path, 'peer.pid'), `${process.pid}\n`)
      // The engine's own folder may be new as well.
      await syncDirectory(this.path)
    } catch (error) {
      throw unusable(this.path, error)
    }
  }

  /** For an engine that has just released the directory. */
  async forgetHolder(): Promise<void> {
    await rm(join(this.path, 'peer.pid'), { force: true })
  }

  /** For an engine that found the directory locked. */
  async lockedError(cause: unknown): Promise<MeshError> {
    const pid = Number(textOf((await readIfExists(join(this.path, 'peer.pid'))) ?? utf8('')))
    const holder = Number.isInteger(pid) && pid > 0 ? `process ${pid}` : 'another process'
    const detail = `${this.path} is used by ${holder}. Two peers cannot share a data directory.`
    return new MeshError('DATA_LOCKED', detail, { cause, facts: { path: this.path, pid } })
  }

  unusableError(cause: unknown): MeshError {
    return unusable(this.path, cause)
  }
}

/** Creates the directory (0700) or checks that it is ours. Rejects with DATA_VERSION, DATA_CLUSTER or DATA_UNUSABLE. */
export async function openDataDirectory(options: DataDirectoryOptions): Promise<DataDirectory> {
  const { path, cluster } = options
  await createDirectory(path)
  const directory = new DataDirectory(options)
  const fresh: Manifest = { format: dataFormat, cluster, created: new Date().toISOString() }
  const bytes = await directory.readOrCreateFile('grapevine.json', 0o600, () => utf8(`${JSON.stringify(fresh)}\n`))
  const manifest = parseManifest(path, bytes)
  if (manifest.format !== dataFormat) {
    const detail = `${path} has format ${manifest.format}; this version of Grapevine reads format ${dataFormat}.`
    throw new MeshError('DATA_VERSION', detail, { facts: { path, format: manifest.format } })
  }
  if (manifest.cluster !== cluster) {
    const detail = `${path} belongs to cluster ${manifest.cluster}, and this peer was started for ${cluster}.`
    throw new MeshError('DATA_CLUSTER', detail, { facts: { path, cluster: manifest.cluster } })
  }
  return directory
}

async function createDirectory(path: string): Promise<void> {
  try {
    const created = await mkdir(path, { recursive: true, mode: 0o700 })
    if (created !== undefined) await syncDirectory(dirname(created))
  } catch (error) {
    throw unusable(path, error)
  }
}

function parseManifest(path: string, bytes: Uint8Array): Manifest {
  try {
    const { format, cluster, created } = JSON.parse(textOf(bytes) ?? '') as Record<keyof Manifest, unknown>
    if (typeof format === 'number' && typeof cluster === 'string') return { format, cluster, created: String(created) }
  } catch {
    // Told below.
  }
  throw unusable(path, new Error('grapevine.json is damaged'))
}

/** A crash leaves the whole file or none: written aside and synced, linked to its name, then the name is synced. */
async function createFile(file: string, mode: number, bytes: Uint8Array): Promise<Uint8Array> {
  const aside = `${file}.${randomUUID()}`
  await writeFile(aside, bytes, { mode, flag: 'wx', flush: true })
  try {
    // Unlike rename, link never replaces the file of a process that was faster.
    await link(aside, file)
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
  }
  await rm(aside)
  await syncDirectory(dirname(file))
  return readFile(file)
}

async function readIfExists(file: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(file)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

/** A new name survives a power cut only once its directory is synced (ALICE, OSDI 2014). Windows has no such call. */
async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

function unusable(path: string, cause: unknown): MeshError {
  if (cause instanceof MeshError) return cause
  const why = cause instanceof Error ? cause.message : String(cause)
  return new MeshError('DATA_UNUSABLE', `${path} cannot be used: ${why}.`, { cause, facts: { path } })
}

const codeOf = (error: unknown): unknown => (error as { readonly code?: unknown }).code
