// What a disk has of revocations that it cannot read: nobody is taken at their word until it can.
import { expect, test } from 'vitest'
import { Authority } from '#gateway/auth/authority'
import { madeToken } from '#gateway/auth/test-authority'
import { MemoryStore } from '#storage/memory-store'
import { nodeDigests } from '../node-digests.ts'
import { boot, still } from '../test-broker.ts'
import { MeshRevocations } from './mesh-revocations.ts'

class DamagedStore extends MemoryStore {
  isDamaged = false

  override async read(...range: Parameters<MemoryStore['read']>) {
    return this.isDamaged ? { batches: [] } : super.read(...range)
  }
}

const shop = madeToken('shop', { publish: ['orders'] })
const other = madeToken('other', { publish: ['orders'] })

test('until revocations can be read from the disk no token is good, and then those that were not revoked', async () => {
  const store = new DamagedStore(nodeDigests)
  const { broker, driver } = await boot(store)
  await broker.revokeToken(shop.stored.id, Number.POSITIVE_INFINITY)
  await driver.idle()
  driver.stop()
  const again = await boot(store, '0000000000000002')
  store.isDamaged = true
  const authority = new Authority({ digests: nodeDigests, wallMs: () => still.wallMs() })
  authority.tokens.replace([shop.stored, other.stored])
  const warnings: string[] = []
  const log = { warn: (text: string) => void warnings.push(text) }
  const revocations = new MeshRevocations({ driver: again.driver, authority, self: again.driver.peer.self, log })
  await revocations.read()
  for (const { text } of [shop, other])
    expect(() => authority.whose(text)).toThrow(expect.objectContaining({ code: 'UNAVAILABLE' }))
  expect([authority.isInformed, warnings]).toEqual([false, ['revocations could not be read']])
  store.isDamaged = false
  await revocations.read()
  expect(() => authority.whose(shop.text)).toThrow(expect.objectContaining({ code: 'TOKEN_REVOKED' }))
  expect(authority.whose(other.text)).toMatchObject({ name: 'token:other' })
})
