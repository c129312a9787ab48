import { constants, copyFile, link, mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { basename, dirname, extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { nextFileOf } from './level-manifest.ts'

export interface Salvaged {
  /** Where the damaged database is now. */
  readonly movedTo: string
  readonly batches: number
  readonly bytes: number
  /** Parts in which the process died that read them: they are left out. */
  readonly partsLost: readonly string[]
  /** Why there is nothing more of it, if that is so. */
  readonly failure?: string
}

/** How often reading goes on after a death. */
const deathsMax = 16
/** A process that says nothing for so long hangs; it may be silent longer the larger the database is. */
const silenceMsMin = 30_000
const readBytesPerMs = 20_000

/**
 * Moves a damaged database aside and puts one in its place that has everything sound of it. Reading happens in processes of
 * their own: where one dies, the next leaves out what it was reading. `isIncomplete`: files of it are not listed in it.
 */
export async function salvage(database: string, isIncomplete: boolean): Promise<Salvaged> {
  const movedTo = await moveAside(database)
  const work = `${database}.salvage`
  const copy = `${database}.new`
  await rm(copy, { recursive: true, force: true })
  await takeFiles(movedTo, work)
  const result = { movedTo, ...(await copyAll({ work, copy, damaged: movedTo, isIncomplete })) }
  await rm(work, { recursive: true, force: true })
  if (await exists(copy)) await rename(copy, database)
  return result
}

/** Can it be opened as a store and read whole, by a process that survives it? It is looked at through links to its files. */
export async function isReadable(database: string, cluster: string): Promise<boolean> {
  const work = `${database}.salvage`
  await takeFiles(database, work)
  const { isDone } = await runProcess(['examine', work, cluster], await silenceMsFor(work))
  await rm(work, { recursive: true, force: true })
  return isDone
}

/**
 * Keeps the files of a database where LevelDB does not delete them while it opens. Most are shared: it does not change a
 * file that it has closed. Those that its manifest does not know it may overwrite. Rejects where there are no links.
 */
export async function keepFiles(database: string): Promise<void> {
  const nextFile = (await nextFileOf(database)) ?? 0
  const keep = (file: string, kept: string): Promise<void> =>
    Number.parseInt(basename(file), 10) >= nextFile ? copyFile(file, kept, constants.COPYFILE_EXCL) : link(file, kept)
  await sameFiles(database, beforeOpening(database), keep)
}

/** Another directory with the same files. Those that are there already stay. */
async function sameFiles(
  from: string,
  to: string,
  give: (file: string, given: string) => Promise<void>,
): Promise<void> {
  if (!(await exists(from))) return
  await mkdir(to, { recursive: true })
  for (const name of await readdir(from)) {
    // The lock and the diary are of the database that is open; `lost` is what a repair has put away.
    if (['LOCK', 'LOG', 'LOG.old', 'lost'].includes(name)) continue
    await give(join(from, name), join(to, name)).catch(ignoreExisting)
  }
}

/** Links, or copies where there are none. */
async function takeFiles(from: string, to: string): Promise<void> {
  const copy = (file: string, copied: string): Promise<void> => copyFile(file, copied, constants.COPYFILE_EXCL)
  await sameFiles(from, to, link).catch(() => sameFiles(from, to, copy))
}

/** An earlier one goes: nobody has missed it. */
async function moveAside(database: string): Promise<string> {
  const directory = dirname(database)
  const prefix = `${basename(database)}.damaged-`
  for (const name of await readdir(directory)) {
    if (name.startsWith(prefix)) await rm(join(directory, name), { recursive: true })
  }
  const movedTo = join(directory, `${prefix}${new Date().toISOString().replaceAll(':', '')}`)
  if (await exists(database)) await rename(database, movedTo)
  else await mkdir(movedTo)
  const before = beforeOpening(database)
  await takeFiles(before, movedTo)
  await rm(before, { recursive: true, force: true })
  return movedTo
}

/** Where the files of a database are kept that LevelDB may delete while it opens. */
export const beforeOpening = (database: string): string => `${database}.before`

async function copyAll(parts: {
  readonly work: string
  readonly copy: string
  readonly damaged: string
  readonly isIncomplete: boolean
}): Promise<Omit<Salvaged, 'movedTo'>> {
  const { work, copy, damaged, isIncomplete } = parts
  const silenceMs = await silenceMsFor(work)
  const repair = async (): Promise<boolean> => {
    await takeFiles(damaged, work)
    return (await runProcess(['repair', work], silenceMs)).isDone
  }
  let isRepaired = isIncomplete && (await repair())
  const lost: string[] = []
  for (;;) {
    const run = await runProcess(['copy', work, copy, JSON.stringify(lost)], silenceMs)
    if (run.isDone) return { batches: run.last.batches ?? 0, bytes: run.last.bytes ?? 0, partsLost: lost }
    const { part } = run.last
    const nothing = { batches: 0, bytes: 0, partsLost: lost, failure: run.failure }
    if (part === undefined) {
      if (isRepaired || !(await repair())) return nothing
      isRepaired = true
    } else if (run.isDead && lost.length < deathsMax) lost.push(part)
    else return nothing
  }
}

interface Line {
  readonly part?: string
  readonly batches?: number
  readonly bytes?: number
}

interface Run {
  readonly isDone: boolean
  /** By a signal: it was aborted, or hung. */
  readonly isDead: boolean
  readonly last: Line
  readonly failure: string
}

const program = fileURLToPath(new URL(`salvage-process${extname(import.meta.url)}`, import.meta.url))

async function runProcess(args: readonly string[], silenceMs: number): Promise<Run> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let last: Line = {}
  let complaint = ''
  const giveUp = setTimeout(() => child.kill('SIGKILL'), silenceMs)
  createInterface({ input: child.stdout }).on('line', (line) => {
    last = JSON.parse(line) as Line
    giveUp.refresh()
  })
  child.stderr.on('data', (data: Buffer) => {
    complaint = `${complaint}${data.toString()}`.slice(-2_000)
  })
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
  clearTimeout(giveUp)
  const failure = `${signal ?? `exit ${code}`}: ${complaint.trim()}`
  return { isDone: code === 0, isDead: signal !== null, last, failure }
}

async function silenceMsFor(database: string): Promise<number> {
  const files = await readdir(database)
  const sizes = await Promise.all(files.map(async (name) => (await stat(join(database, name))).size))
  return silenceMsMin + sizes.reduce((sum, size) => sum + size, 0) / readBytesPerMs
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

function ignoreExisting(error: unknown): void {
  if ((error as { readonly code?: unknown }).code !== 'EEXIST') throw error
}
