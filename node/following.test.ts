// A peer serves what others keep: pages, streams, records and their copies, while it can reach who keeps them, and says so
// when it cannot. Of these peers `orders` belongs to elm and ash; oak keeps nothing of it.
import { beforeEach, describe, expect, test } from 'vitest'
import type { Reader, RecordId } from '#gateway/broker'
import { topicIdOf } from '#protocol/ids'
import type { PeerId } from '#protocol/ids'
import { placementOrder } from '#protocol/replication/placement'
import type { TopicName } from '#protocol/topic-name'
import { nodeDigests } from './node-digests.ts'
import { ManualClock, orders, publish, texts } from './test-broker.ts'
import { WiredPeers } from './test-pair.ts'

const topicId = topicIdOf(nodeDigests, { cluster: 'garden', name: 'orders', generation: 0 })
const members = (['oak', 'elm', 'ash'] as PeerId[]).map((peer) => ({ peer, zone: '' }))
const [first, second, outsider] = placementOrder(topicId, members) as unknown as [string, string, string]

let peers: WiredPeers
const at = (name: string) => peers.at(name).broker
const valuesOf = async (reader: Reader) =>
  (await reader.next(100)).records.map(({ record }) => Buffer.from(record.value).toString())

beforeEach(async () => {
  peers = await WiredPeers.boot(['oak', 'elm', 'ash'], 2, new ManualClock())
})

async function linkAll(): Promise<void> {
  peers.link(first, second)
  peers.link(first, outsider)
  peers.link(second, outsider)
  await peers.settle()
}

test('a page, a record and its copies are had at a peer that keeps nothing of the topic, and leaves nothing there', async () => {
  await linkAll()
  const { ids } = await publish(at(first), ['pears', 'plums'])
  expect(await texts(at(outsider), { type: 'earliest' })).toEqual(['pears', 'plums'])
  const [writer = '', epoch = '', offset] = ids[1]?.split('.') ?? []
  const id = { writer, epoch, offset: Number(offset) }
  expect(Buffer.from((await at(outsider).record(orders, id))?.value ?? []).toString()).toBe('plums')
  expect((await at(outsider).replication(orders, id))?.home.toSorted()).toEqual([first, second].toSorted())
  expect(await at(outsider).topic(orders)).toMatchObject({ kept: false, records: 2, feeds: 1 })
  expect((await at(outsider).topicStatus(orders))?.replicas.map(({ role }) => role)).toContain('home')
  expect(peers.at(outsider).driver.feeds(topicId)).toEqual([])
})

test('copies of a record are waited for at any peer, and one that has none of them does not count itself', async () => {
  peers.link(first, outsider)
  await peers.settle()
  const { ids } = await publish(at(first), ['pears'])
  const [writer = '', epoch = '', offset] = ids[0]?.split('.') ?? []
  const id = { writer, epoch, offset: Number(offset) }
  const all = (name: string) => at(name).awaitCopies(orders, id, { type: 'all' }, 5_000)
  const [there, here] = [all(outsider), all(first)]
  await peers.settle()
  await peers.settle(5_000)
  expect(await there).toMatchObject({ level: 'all', reached: false, copies: 1, peers: [first] })
  expect(await here).toMatchObject({ level: 'all', reached: false, copies: 1, peers: [first] })
  const later = [all(outsider), all(first)]
  peers.link(first, second)
  peers.link(second, outsider)
  for (let turn = 0; turn < 4; turn++) await peers.settle(500)
  for (const ack of await Promise.all(later)) {
    expect(ack).toMatchObject({ reached: true, copies: 2 })
    expect([ack?.peers.toSorted(), ack?.home.toSorted()]).toEqual([
      [first, second].toSorted(),
      [first, second].toSorted(),
    ])
  }
  const tooMany = at(outsider).awaitCopies(orders, id, { type: 'count', count: 4 }, 0)
  await expect(tooMany).rejects.toMatchObject({ code: 'ACK_LEVEL_IMPOSSIBLE' })
  expect(await at(outsider).awaitCopies(orders, { ...id, offset: 7 }, { type: 'all' }, 0)).toBeUndefined()
})

describe('copies of a record that is not heard of yet', () => {
  let next: RecordId

  beforeEach(async () => {
    await linkAll()
    const { ids } = await publish(at(first), ['pears'])
    const [writer = '', epoch = '', offset] = ids[0]?.split('.') ?? []
    next = { writer, epoch, offset: Number(offset) + 1 }
  })

  const asked = (waitMs: number) => at(outsider).awaitCopies(orders, next, { type: 'all' }, waitMs)

  test('are waited for as well', async () => {
    const copies = asked(5_000)
    await peers.settle()
    await publish(at(first), ['plums'])
    expect(await copies).toMatchObject({ reached: true, copies: 2 })
  })

  test('are not found once the time is over, or the peer drains', async () => {
    const [late, drained] = [asked(5_000), asked(50_000)]
    await peers.settle()
    await peers.settle(6_000)
    expect(await late).toBeUndefined()
    at(outsider).drain()
    expect(await drained).toBeUndefined()
  })

  test('are not waited for any longer once nobody asks for them', async () => {
    const gone = new AbortController()
    const copies = at(outsider).awaitCopies(orders, next, { type: 'all' }, 50_000, gone.signal)
    await peers.settle()
    gone.abort()
    expect(await copies).toBeUndefined()
  })
})

test('a reader there goes on live, whatever peer the record was published at', async () => {
  await linkAll()
  await publish(at(first), ['pears'])
  const reader = await at(outsider).open(orders, { type: 'earliest' })
  expect(await valuesOf(reader)).toEqual(['pears'])
  for (const [writer, value] of [
    [second, 'plums'],
    [outsider, 'figs'],
  ] as const) {
    const more = reader.more(new AbortController().signal)
    await publish(at(writer), [value])
    await more
    expect(await valuesOf(reader)).toEqual([value])
  }
})

test('a topic that neither this peer nor its keepers know is not found', async () => {
  await linkAll()
  await expect(at(outsider).open(orders, { type: 'earliest' })).rejects.toMatchObject({ code: 'TOPIC_NOT_FOUND' })
  expect(await at(outsider).topic(orders)).toBeUndefined()
})

describe('without a keeper in reach', () => {
  test('a reader of a topic that is not known waits, is told that it is isolated, and reads on after the heal', async () => {
    await publish(at(first), ['pears'])
    const reader = await at(outsider).open(orders, { type: 'earliest' })
    expect(await reader.next(10)).toMatchObject({ records: [], upToDate: true, isolated: true })
    const more = reader.more(new AbortController().signal)
    await linkAll()
    await more
    await peers.settle()
    const chunk = await reader.next(10)
    expect(chunk).toMatchObject({ records: { length: 1 }, upToDate: true })
    expect(chunk.isolated).toBeUndefined()
  })

  test('what was accepted on this side is read; what is known to be elsewhere is told to be late', async () => {
    await linkAll()
    await publish(at(first), ['pears', 'plums'])
    const reader = await at(outsider).open(orders, { type: 'earliest' })
    for (const keeper of [first, second]) peers.cut(outsider, keeper)
    await publish(at(outsider), ['figs'])
    await peers.settle()
    const chunk = await reader.next(10)
    expect(chunk).toMatchObject({ records: { length: 1 }, gaps: [{ type: 'late', from: 0, to: 2 }], isolated: true })
    await linkAll()
    await reader.more(new AbortController().signal)
    expect(await valuesOf(reader)).toEqual(['pears', 'plums'])
  })
})

test('a reader goes on at another keeper when the one that it reads from goes, without a gap and without a repeat', async () => {
  await linkAll()
  await publish(at(first), ['0'])
  await peers.settle()
  const reader = await at(outsider).open(orders, { type: 'earliest' })
  const read: string[] = []
  for (let n = 1; n <= 20; n++) {
    read.push(...(await valuesOf(reader)))
    if (n === 10) peers.cut(outsider, first)
    await publish(at(second), [`${n}`])
    await peers.settle()
  }
  read.push(...(await valuesOf(reader)))
  expect(read).toEqual(Array.from({ length: 21 }, (_, n) => `${n}`))
})

test('a list tells of what is not kept what is known of it', async () => {
  await linkAll()
  await publish(at(outsider), ['pears'], { topic: 'bills' as TopicName })
  await publish(at(first), ['pears'])
  await peers.settle(100)
  const known = at(outsider)
    .topics()
    .map(({ topic, kept, feeds }) => ({ topic, kept, feeds }))
  expect(known).toContainEqual({ topic: 'orders', kept: false, feeds: 0 })
})
