import type { BatchToStore, StoreChange } from './feed-store.ts'
import { GroupCommit, groupCommitDefaults, type Pace } from './group-commit.ts'
import { describe, expect, test } from 'vitest'
import type { Epoch, Hash, PeerId, TopicId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { utf8 } from '#protocol/text'

// A disk whose appends are confirmed by hand shows what shares an fsync, and in which order.
class ManualDisk {
  readonly appends: string[][] = []
  #underWay: PromiseWithResolvers<void> | undefined

  append(batches: readonly BatchToStore[], changes: readonly StoreChange[] = []): Promise<void> {
    expect(this.#underWay).toBeUndefined()
    this.appends.push([...batches.map(nameOf), ...changes.map(changeNameOf)])
    this.#underWay = Promise.withResolvers<void>()
    return this.#underWay.promise
  }

  async finish(): Promise<void> {
    this.#take().resolve()
    await turn()
  }

  async fail(): Promise<void> {
    this.#take().reject(new Error('EIO: fsync failed'))
    await turn()
  }

  #take(): PromiseWithResolvers<void> {
    const underWay = this.#underWay
    this.#underWay = undefined
    if (underWay === undefined) throw new Error('no append is under way')
    return underWay
  }
}

/** Time that passes by hand. */
class ManualClock {
  #nowMs = 0
  readonly #timers: { readonly atMs: number; readonly run: () => void }[] = []

  nowMs(): number {
    return this.#nowMs
  }

  after(afterMs: number, run: () => void): void {
    this.#timers.push({ atMs: this.#nowMs + afterMs, run })
  }

  advance(ms: number): void {
    this.#nowMs += ms
    for (const timer of this.#timers.splice(0)) {
      if (timer.atMs <= this.#nowMs) timer.run()
      else this.#timers.push(timer)
    }
  }
}

/** Lets all microtasks run. */
const turn = () => new Promise<void>((resolve) => void setImmediate(resolve))

const nameOf = ({ feed, head }: BatchToStore): string => `${feed.topicId}/${feed.writer} ${head.nextOffset}`

const changeNameOf = (change: StoreChange): string =>
  change.type === 'meta' ? change.key : `${change.type} ${change.feed.topicId}`

const batch = (topic: string, nextOffset: number, bytes = 100, writer = 'oak'): BatchToStore => ({
  feed: { topicId: topic as TopicId, writer: writer as PeerId, epoch: '00000000000000aa' as Epoch },
  bytes: new Uint8Array(bytes),
  head: { nextOffset, hash: '' as Hash },
})

const meta = (key: string, value: Uint8Array): StoreChange => ({ type: 'meta', key, value })

const floorOf = (topic: string, nextOffset: number): StoreChange => ({
  type: 'floor',
  feed: batch(topic, nextOffset).feed,
  floor: batch(topic, nextOffset).head,
})

function started() {
  const disk = new ManualDisk()
  const clock = new ManualClock()
  const told: string[] = []
  const failures: unknown[] = []
  const onFailure = (error: unknown) => void failures.push(error)
  const commit = new GroupCommit(groupCommitDefaults, { store: disk, onFailure, clock })
  const store = (one: BatchToStore, pace?: Pace) => commit.store(one, () => void told.push(nameOf(one)), pace)
  const pass = async (ms: number): Promise<void> => {
    clock.advance(ms)
    await turn()
  }
  return { disk, pass, told, failures, commit, store }
}

describe('group commit', () => {
  test('batches made in one go share the first append; what arrives meanwhile shares the next', async () => {
    const { disk, told, store } = started()
    store(batch('orders', 1))
    store(batch('orders', 2))
    await turn()
    store(batch('orders', 3))
    store(batch('orders', 4))
    await turn()
    expect(disk.appends).toEqual([['orders/oak 1', 'orders/oak 2']])
    expect(told).toEqual([])
    await disk.finish()
    expect(told).toEqual(['orders/oak 1', 'orders/oak 2'])
    expect(disk.appends[1]).toEqual(['orders/oak 3', 'orders/oak 4'])
  })

  test('an append starts before the last one is told, and its callers may store again', async () => {
    const { disk, commit, store } = started()
    const seen: number[] = []
    commit.store(batch('orders', 1), () => {
      seen.push(disk.appends.length)
      store(batch('orders', 3))
    })
    await turn()
    store(batch('orders', 2))
    await disk.finish()
    expect(seen).toEqual([2])
    await disk.finish()
    expect(disk.appends).toEqual([['orders/oak 1'], ['orders/oak 2'], ['orders/oak 3']])
  })

  test('topics take turns, and each keeps its order', async () => {
    const { disk, store } = started()
    for (const nextOffset of [1, 2, 3]) store(batch('orders', nextOffset))
    store(batch('stock', 1, 100, 'elm'))
    store(batch('stock', 1))
    await turn()
    expect(disk.appends[0]).toEqual(['orders/oak 1', 'stock/elm 1', 'orders/oak 2', 'stock/oak 1', 'orders/oak 3'])
  })

  test('a busy topic cannot keep a quiet one out of the next append', async () => {
    const { disk, store } = started()
    const half = limits.commitBytesMax / 2
    for (const nextOffset of [1, 2, 3, 4]) store(batch('orders', nextOffset, half))
    store(batch('stock', 1, half))
    await turn()
    await disk.finish()
    await disk.finish()
    expect(disk.appends).toEqual([['orders/oak 1', 'stock/oak 1'], ['orders/oak 2', 'orders/oak 3'], ['orders/oak 4']])
  })

  test('an append takes at most so many batches', async () => {
    const { disk, store } = started()
    for (let nextOffset = 1; nextOffset <= limits.commitBatchesMax + 1; nextOffset++) store(batch('orders', nextOffset))
    await turn()
    await disk.finish()
    expect(disk.appends.map((append) => append.length)).toEqual([limits.commitBatchesMax, 1])
  })

  test('an append takes at most so many bytes, but one batch however large', async () => {
    const { disk, store } = started()
    store(batch('orders', 1, limits.commitBytesMax + 1))
    store(batch('orders', 2, limits.commitBytesMax))
    store(batch('orders', 3, 1))
    await turn()
    await disk.finish()
    await disk.finish()
    expect(disk.appends).toEqual([['orders/oak 1'], ['orders/oak 2'], ['orders/oak 3']])
  })

  test('metadata rides on the next append, alone if need be, and comes before later batches', async () => {
    const { disk, told, commit, store } = started()
    commit.storeChange(meta('clock', utf8('1')), () => void told.push('clock'))
    await turn()
    store(batch('orders', 1))
    commit.storeChange(meta('large', new Uint8Array(limits.commitBytesMax - 200)))
    commit.storeChange(meta('registry', new Uint8Array(300)), () => void told.push('registry'))
    store(batch('orders', 2))
    await disk.finish()
    await disk.finish()
    expect(disk.appends).toEqual([['clock'], ['large'], ['orders/oak 1', 'orders/oak 2', 'registry']])
    expect(told).toEqual(['clock'])
    await disk.finish()
    expect(told).toEqual(['clock', 'registry', 'orders/oak 1', 'orders/oak 2'])
  })

  test('a change of a feed keeps its place among the batches of its topic, and holds up nobody else', async () => {
    const { disk, told, commit, store } = started()
    store(batch('orders', 1))
    commit.storeChange(floorOf('orders', 1), () => void told.push('floor'))
    commit.storeChange(floorOf('stock', 1))
    store(batch('orders', 2))
    store(batch('shipments', 1))
    commit.storeChange(floorOf('orders', 2))
    await turn()
    await disk.finish()
    await disk.finish()
    expect(disk.appends).toEqual([
      ['orders/oak 1', 'shipments/oak 1', 'floor stock', 'floor orders'],
      ['orders/oak 2', 'floor orders'],
    ])
    expect(told).toEqual(['orders/oak 1', 'shipments/oak 1', 'floor', 'orders/oak 2'])
  })

  test('what a client here waits for goes before copies in its topic, but not before changes', async () => {
    const { disk, told, commit, store } = started()
    store(batch('stock', 1))
    await turn()
    store(batch('orders', 1, 100, 'elm'), 'backlog')
    commit.storeChange(floorOf('orders', 1))
    store(batch('orders', 2, 100, 'elm'), 'backlog')
    store(batch('orders', 3, 100, 'ash'))
    store(batch('orders', 1), 'urgent')
    store(batch('orders', 2), 'urgent')
    await disk.finish()
    await disk.finish()
    await disk.finish()
    expect(disk.appends).toEqual([
      ['stock/oak 1'],
      ['orders/elm 1', 'floor orders'],
      ['orders/oak 1', 'orders/oak 2', 'orders/elm 2', 'orders/ash 3'],
    ])
    expect(told).toEqual(disk.appends.flat().filter((name) => name !== 'floor orders'))
  })

  test('while clients publish, an append takes little of the backlog: one batch at least, and all live copies', async () => {
    const { disk, store } = started()
    const third = Math.floor(limits.commitBacklogBytesMax / 3)
    store(batch('stock', 1))
    await turn()
    for (const nextOffset of [1, 2, 3, 4, 5]) store(batch('orders', nextOffset, third, 'elm'), 'backlog')
    store(batch('shipments', 1, limits.commitBacklogBytesMax, 'ash'))
    store(batch('stock', 2), 'urgent')
    await disk.finish()
    const inTurns = ['orders/elm 1', 'shipments/ash 1', 'stock/oak 2', 'orders/elm 2', 'orders/elm 3']
    expect(disk.appends[1]).toEqual(inTurns)
    store(batch('orders', 6, limits.commitBacklogBytesMax + 1, 'elm'), 'backlog')
    await disk.finish()
    await disk.finish()
    expect(disk.appends.slice(2)).toEqual([['orders/elm 4', 'orders/elm 5'], ['orders/elm 6']])
  })

  test('once nobody publishes any more, an append takes as much of the backlog as of anything', async () => {
    const { disk, store } = started()
    store(batch('stock', 1), 'urgent')
    await turn()
    const half = limits.commitBytesMax / 2
    for (let nextOffset = 1; nextOffset <= 100; nextOffset++) store(batch('orders', nextOffset, half, 'elm'), 'backlog')
    for (let append = 1; append <= 40; append++) await disk.finish()
    expect(disk.appends.slice(1, 32).map((names) => names.length)).toEqual(Array.from({ length: 31 }, () => 1))
    expect(disk.appends.slice(32, 40).map((names) => names.length)).toEqual(Array.from({ length: 8 }, () => 2))
  })

  test('while clients publish, the backlog rests after each append six times as long as that took; others do not', async () => {
    const { disk, pass, store } = started()
    store(batch('stock', 1), 'urgent')
    await turn()
    for (const nextOffset of [1, 2, 3])
      store(batch('orders', nextOffset, limits.commitBacklogBytesMax, 'elm'), 'backlog')
    await disk.finish()
    await pass(5)
    await disk.finish()
    expect(disk.appends.slice(1)).toEqual([['orders/elm 1']])
    await pass(29)
    store(batch('stock', 2), 'urgent')
    store(batch('stock', 1, 100, 'ash'))
    await turn()
    await disk.finish()
    expect(disk.appends.slice(2)).toEqual([['stock/oak 2', 'stock/ash 1']])
    await pass(1)
    await pass(50)
    await disk.finish()
    expect(disk.appends.slice(3)).toEqual([['orders/elm 2']])
    await pass(99)
    expect(disk.appends).toHaveLength(4)
    await pass(1)
    expect(disk.appends.slice(4)).toEqual([['orders/elm 3']])
  })

  test('a topic does not rest while something else waits behind its backlog', async () => {
    const { disk, pass, commit, store } = started()
    store(batch('stock', 1), 'urgent')
    await turn()
    for (const nextOffset of [1, 2, 3])
      store(batch('orders', nextOffset, limits.commitBacklogBytesMax, 'elm'), 'backlog')
    commit.storeChange(floorOf('orders', 1))
    store(batch('orders', 1), 'urgent')
    await disk.finish()
    for (let append = 1; append <= 3; append++) {
      await pass(5)
      await disk.finish()
    }
    const names = ['orders/elm 1', 'orders/elm 2', 'orders/elm 3', 'floor orders', 'orders/oak 1']
    expect(disk.appends.slice(1).flat()).toEqual(names)
  })

  test('nothing rests while somebody waits for all of it, nor once nobody publishes', async () => {
    const { disk, pass, commit, told, store } = started()
    store(batch('stock', 1), 'urgent')
    await turn()
    const rests = [1, 2].map((nextOffset) => batch('orders', nextOffset, limits.commitBacklogBytesMax, 'elm'))
    for (const one of rests) store(one, 'backlog')
    await disk.finish()
    await pass(50)
    await disk.finish()
    expect(told).toHaveLength(2)
    const idle = commit.idle()
    await turn()
    await disk.finish()
    await idle
    expect(told).toHaveLength(3)
    for (let nextOffset = 2; nextOffset <= 40; nextOffset++) {
      store(batch('stock', nextOffset))
      await turn()
      await disk.finish()
    }
    for (const nextOffset of [3, 4, 5]) {
      store(batch('orders', nextOffset, limits.commitBytesMax, 'elm'), 'backlog')
      await turn()
      await pass(50)
      await disk.finish()
    }
    expect(told).toHaveLength(3 + 39 + 3)
  })

  test('what is filled in counts as the batches that it is', async () => {
    const { disk, commit, store } = started()
    store(batch('orders', 1))
    await turn()
    const { feed } = batch('orders', 9)
    const batches = Array.from({ length: limits.commitBatchesMax }, (_, index) => batch('orders', index + 1, 10))
    commit.storeChange({ type: 'fill', feed, batches, holes: [] })
    store(batch('stock', 1))
    expect(commit.pendingBatches).toBe(limits.commitBatchesMax + 2)
    await disk.finish()
    await disk.finish()
    expect(disk.appends.slice(1)).toEqual([['fill orders'], ['stock/oak 1']])
    expect(commit.pendingBatches).toBe(1)
    await disk.finish()
    expect([commit.pendingBatches, commit.pendingBytes]).toEqual([0, 0])
  })

  test('what waits is counted until it is on disk', async () => {
    const { disk, commit, store } = started()
    store(batch('orders', 1, 300))
    await turn()
    store(batch('orders', 2, 200))
    commit.storeChange(meta('clock', utf8('12')))
    expect([commit.pendingBatches, commit.pendingBytes]).toEqual([2, 507])
    await disk.finish()
    expect([commit.pendingBatches, commit.pendingBytes]).toEqual([1, 207])
    await disk.finish()
    expect([commit.pendingBatches, commit.pendingBytes]).toEqual([0, 0])
  })

  test('a caller that goes on when it should have refused is stopped', () => {
    const disk = new ManualDisk()
    const commit = new GroupCommit(
      { pendingBytesMax: 250 },
      { store: disk, onFailure: () => {}, clock: new ManualClock() },
    )
    commit.store(batch('orders', 1), () => {})
    commit.store(batch('orders', 2), () => {})
    expect(() => commit.store(batch('orders', 3), () => {})).toThrow(/assertion failed/)
  })

  test('idle waits for everything, also for what is stored by those who are told', async () => {
    const { disk, told, commit, store } = started()
    await commit.idle()
    commit.store(batch('orders', 1), () => store(batch('orders', 2)))
    const idle = commit.idle().then(() => told.push('idle'))
    await turn()
    await disk.finish()
    expect(told).toEqual([])
    await disk.finish()
    await idle
    expect(told).toEqual(['orders/oak 2', 'idle'])
  })

  test('a failed append is told once; nothing is called back or written any more', async () => {
    const { disk, told, failures, commit, store } = started()
    store(batch('orders', 1))
    await turn()
    store(batch('orders', 2))
    const idle = commit.idle()
    await Promise.all([disk.fail(), expect(idle).rejects.toThrow('EIO')])
    store(batch('orders', 3))
    commit.storeChange(meta('clock', utf8('1')))
    await turn()
    expect(disk.appends).toEqual([['orders/oak 1']])
    expect(told).toEqual([])
    expect(failures).toHaveLength(1)
    await expect(commit.idle()).rejects.toThrow('EIO')
  })
})
