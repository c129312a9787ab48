import { ClassicLevel } from 'classic-level'
import type { DataDirectory } from './data-directory.ts'
import { join } from 'node:path'
import { rm } from 'node:fs/promises'

/** Releases the directory. */
export type Unlock = () => Promise<void>

/**
 * Locks a data directory for this process, and names it there. Rejects with DATA_LOCKED or DATA_UNUSABLE.
 *
 * The lock is that of an empty database: Node has no file locks, and LevelDB takes one from the kernel, which releases it
 * at any death and shows it to containers that share a volume and see other pids. It is not that of the database with the
 * records, which may have to be moved out of the way.
 */
export async function lockDirectory(directory: DataDirectory): Promise<Unlock> {
  const lock = await openLock(directory)
  try {
    await directory.nameHolder()
  } catch (error) {
    await lock.close()
    throw error
  }
  return async () => {
    await lock.close()
    await directory.forgetHolder()
  }
}

async function openLock(directory: DataDirectory): Promise<ClassicLevel> {
  const path = join(directory.path, 'lock')
  const lock = new ClassicLevel(path)
  try {
    await lock.open()
    return lock
  } catch (error) {
    if (causeCodeOf(error) === 'LEVEL_LOCKED') throw await directory.lockedError(error)
    // Nothing is in it that could be lost.
    await rm(path, { recursive: true, force: true })
    return await reopened(directory, path)
  }
}

async function reopened(directory: DataDirectory, path: string): Promise<ClassicLevel> {
  const lock = new ClassicLevel(path)
  try {
    await lock.open()
    return lock
  } catch (error) {
    throw directory.unusableError(error)
  }
}

/** abstract-level reports why it could not open as the cause of its own error. */
export const causeCodeOf = (error: unknown): unknown =>
  error instanceof Error ? (error.cause as { readonly code?: unknown } | undefined)?.code : undefined
