// What a client waits for is stored before what a neighbor sends of the log after a split, and with little of it.
import { expect, test } from 'vitest'
import { topicIdOf } from '#protocol/ids'
import { limits } from '#protocol/limits'
import type { TopicName } from '#protocol/topic-name'
import type { BatchToStore, StoreChange } from '#storage/feed-store'
import { MemoryStore } from '#storage/memory-store'
import { nodeDigests } from './node-digests.ts'
import { ManualClock, publish } from './test-broker.ts'
import { WiredPeers } from './test-pair.ts'

const topicId = topicIdOf(nodeDigests, { cluster: 'garden', name: 'orders', generation: 0 })

/** A disk that can be told to keep everybody waiting. */
class HeldStore extends MemoryStore {
  /** The writers of the batches of `orders` in each append since it was last held. */
  readonly appends: string[][] = []
  #held: PromiseWithResolvers<void> | undefined

  hold(): void {
    this.appends.length = 0
    this.#held = Promise.withResolvers()
  }

  release(): void {
    this.#held?.resolve()
    this.#held = undefined
  }

  override async append(batches: readonly BatchToStore[], changes?: readonly StoreChange[]): Promise<void> {
    const ofOrders = batches.filter(({ feed }) => feed.topicId === topicId)
    if (ofOrders.length > 0) this.appends.push(ofOrders.map(({ feed }) => feed.writer))
    await this.#held?.promise
    await super.append(batches, changes)
  }
}

test('a publish does not wait for what is caught up on, old as it is', async () => {
  const [clock, disk] = [new ManualClock(), new HeldStore(nodeDigests)]
  const storeOf = (name: string) => (name === 'elm' ? disk : new MemoryStore(nodeDigests))
  const peers = await WiredPeers.boot(['oak', 'elm'], 2, clock, storeOf)
  const [oak, elm] = [peers.at('oak').broker, peers.at('elm').broker]
  const large = 'v'.repeat(0.6 * limits.commitBacklogBytesMax)
  await publish(elm, ['opens its feed'])
  for (let count = 0; count < 3; count++) await publish(oak, [large])
  await peers.settle(limits.waitMsDefault + 1_000)
  disk.hold()
  const other = publish(elm, ['something else'], { topic: 'stock' as TopicName })
  peers.link('oak', 'elm')
  await peers.settle()
  const waiting = publish(elm, ['pears'])
  disk.release()
  await Promise.all([other, waiting])
  await peers.settle()
  // Its own first; then the opening of the other feed, and one large batch at a time.
  expect(disk.appends).toEqual([['elm', 'oak', 'oak'], ['oak'], ['oak']])
})
