import type { DataDirectory } from './data-directory.ts'
import type { LevelStore } from './level-store.ts'
import { openLevelStore } from './open-level-store.ts'
import { MemoryStore } from './memory-store.ts'
import type { Digests } from '#protocol/digests'
import { MeshError } from '#protocol/errors'

/**
 * A store in memory for a peer whose identity lies in a data directory. It keeps an empty database there for its lock,
 * since two peers with one identity are worse than none. Rejects with DATA_LOCKED, DATA_UNUSABLE, and with CONFIG_INVALID
 * when the directory has records: to leave them out would look to the mesh like their loss.
 */
export async function openMemoryStore(directory: DataDirectory, digests: Digests): Promise<MemoryStore> {
  const lock = await openLevelStore({ directory, digests, onWarning: () => {} })
  const feeds = await lock.feeds()
  if (feeds.length === 0) return new LockedMemoryStore(digests, lock)
  await lock.close()
  const detail = `${directory.path} holds records that --storage level has kept, and --storage memory would leave them out.`
  throw new MeshError('CONFIG_INVALID', detail, { facts: { path: directory.path } })
}

class LockedMemoryStore extends MemoryStore {
  readonly #lock: LevelStore

  constructor(digests: Digests, lock: LevelStore) {
    super(digests)
    this.#lock = lock
  }

  override async close(): Promise<void> {
    await super.close()
    await this.#lock.close()
  }
}
