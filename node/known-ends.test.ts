// When an interval of time is complete: by what a peer knows of others' ends, as two real machines tell it.
import { expect, test } from 'vitest'
import { boot, ManualClock, orders, publish, still } from './test-broker.ts'
import { WiredPeers } from './test-pair.ts'

/** In steps in which peers answer each other: whoever is silent for long is given up. */
async function pass(peers: WiredPeers, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 100) await peers.settle(100)
}

const all = { fromMs: 0, limit: 10, bytesTarget: 1_000_000 }

test('alone in its mesh, a peer knows all up to now, and nothing of what is to come', async () => {
  const clock = new ManualClock()
  const { broker } = await boot(undefined, undefined, { clock })
  await publish(broker, ['pears'])
  const nowMs = still.wallMs()
  expect(await broker.interval(orders, { ...all, toMs: nowMs })).toMatchObject({ complete: false })
  clock.advance(1)
  const told = await broker.interval(orders, { ...all, toMs: nowMs })
  expect([told.records.length, told.complete]).toEqual([1, true])
  await expect(broker.interval('bills' as typeof orders, { ...all, toMs: 1 })).rejects.toMatchObject({
    code: 'TOPIC_NOT_FOUND',
  })
})

test('an interval is complete once all members have told times beyond it, and not while one of them is away', async () => {
  const clock = new ManualClock()
  const peers = await WiredPeers.boot(['oak', 'elm', 'ash'], 3, clock)
  const link = (): void => {
    peers.link('oak', 'elm')
    peers.link('oak', 'ash')
    peers.link('elm', 'ash')
  }
  link()
  await pass(peers, 1_000)
  const [oak, elm] = [peers.at('oak').broker, peers.at('elm').broker]
  await publish(oak, ['before'])
  await pass(peers, 1_000)
  peers.cut('oak', 'elm')
  peers.cut('elm', 'ash')
  await publish(elm, ['away'])
  const toMs = clock.wallMs()
  await pass(peers, 30_000)
  const [here, there] = await Promise.all([oak, elm].map((broker) => broker.interval(orders, { ...all, toMs })))
  expect([here?.records.length, here?.complete]).toEqual([1, false])
  expect([there?.records.length, there?.complete]).toEqual([2, false])
  // Whoever was called dead meanwhile is linked anew once it has refuted that.
  for (const ms of [2_000, 20_000]) {
    peers.cut('oak', 'elm')
    peers.cut('oak', 'ash')
    peers.cut('elm', 'ash')
    link()
    await pass(peers, ms)
  }
  const merged = await oak.interval(orders, { ...all, toMs })
  expect([merged.records.length, merged.complete]).toEqual([2, true])
  expect(await elm.interval(orders, { ...all, toMs })).toEqual(merged)
  // Of the last seconds somebody may still have something on the way to disk.
  expect(await oak.interval(orders, { ...all, toMs: clock.wallMs() - 1 })).toMatchObject({ complete: false })
})
