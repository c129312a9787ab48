// Records of topics of the mesh as a disk has them: many at once, and some that cannot be read yet.
import { expect, test } from 'vitest'
import type { PeerId } from '#protocol/ids'
import type { FeedStore } from '#storage/feed-store'
import { InternalRecords } from './internal-records.ts'
import { boot, orders, publish } from './test-broker.ts'

type Read = FeedStore['read']
const oak = 'oak' as PeerId

async function disk() {
  const { broker, driver } = await boot()
  const topicId = driver.peer.topicIdOf(orders)
  for (const text of ['pears', 'plums', 'figs']) await publish(broker, [text])
  const read: Read = (...range) => driver.read(...range)
  return { feeds: () => driver.feeds(topicId), read }
}

test('more is said at once than a stack has room for', async () => {
  const records = new InternalRecords(oak, (text) => Array.from({ length: 200_000 }, () => text))
  const states = await records.readOn(await disk())
  expect(states).toHaveLength(600_000)
  expect([states[0], states.at(-1), records.isComplete]).toEqual(['pears', 'figs', true])
})

test('what cannot be read yet is told, and nothing of what was read before a fault is lost by it', async () => {
  const { feeds, read } = await disk()
  const records = new InternalRecords(oak, (text) => [text])
  const failing: Read = async (feed, position) =>
    position < 1 ? read(feed, position, 1) : Promise.reject(new Error('no disk'))
  await expect(records.readOn({ feeds, read: failing })).rejects.toThrow('no disk')
  expect(records.isComplete).toBe(false)
  const damaged: Read = async (feed, position) => (position < 2 ? read(feed, position, 1) : { batches: [] })
  expect(await records.readOn({ feeds, read: damaged })).toEqual(['pears', 'plums'])
  expect(records.isComplete).toBe(false)
  expect(await records.readOn({ feeds, read })).toEqual(['figs'])
  expect(records.isComplete).toBe(true)
})
