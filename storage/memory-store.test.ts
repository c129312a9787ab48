import { MemoryDisk, MemoryStore } from './memory-store.ts'
import { feedStoreCompliance } from './compliance/feed-store-compliance.ts'
import { pureDigests } from '#protocol/log/pure-digests'

feedStoreCompliance('MemoryStore', async () => {
  const disk = new MemoryDisk()
  return {
    store: new MemoryStore(pureDigests, disk),
    reopen: async () => new MemoryStore(pureDigests, disk),
    damage: async (bytes) => {
      // It keeps the very bytes that it was given.
      bytes[40] = (bytes[40] ?? 0) ^ 1
    },
  }
})
