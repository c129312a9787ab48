// Goal: who deletes a topic on one side of a split takes nothing from the other side that was acked there without knowing of
// it. Method: three real peers; ash is cut off and published at while the topic is deleted by the others; then the heal.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { PrometheusText } from '#test/prometheus-text'
import { eventually, type ProcessPeer, sees, startMesh } from './process-peer.ts'
import { isConverged, readAll } from './topic-contents.ts'

const topic = 'orders'
const remains = '$deleted.orders.0'
const graceMs = 30_000

const valuesAt = async (peer: ProcessPeer, name: string): Promise<readonly string[]> =>
  (await readAll(peer, name)).map((line) => line.slice(line.indexOf(' ') + 1))

test('a topic deleted on one side is gone everywhere after the heal, but for what the other side published meanwhile', async () => {
  await using stack = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'grapevine-deleted-'))
  stack.defer(() => rm(directory, { recursive: true, force: true }))
  const flags = ['--deleted-grace', `${graceMs}ms`]
  const peers = await startMesh(directory, ['oak', 'elm', 'ash'], () => ({ flags }))
  for (const peer of peers) stack.use(peer)
  const [oak, elm, ash] = peers as [ProcessPeer, ProcessPeer, ProcessPeer]
  const before = await ash.client.publish(topic, 'before', { ack: 'all' })
  expect(before).toMatchObject({ reached: true, copies: 3 })

  await ash.client.lab.drop(['oak', 'elm'])
  for (const peer of [oak, elm]) await peer.client.lab.drop(['ash'])
  expect(await oak.client.deleteTopic(topic)).toEqual({ topic, generation: 0, remains })
  await eventually('elm has heard of the deletion', async () => (await elm.client.topics()).length === 0)
  // Ash goes on as if nothing were: it cannot know.
  const meanwhile = [await ash.client.publish(topic, 'meanwhile'), await ash.client.publish(topic, 'still')]
  expect(meanwhile.map(({ reached }) => reached)).toEqual([true, true])
  expect(await valuesAt(ash, topic)).toEqual(['before', 'meanwhile', 'still'])
  // Made again on the other side meanwhile it is another topic.
  await elm.client.publish(topic, 'anew')
  expect(await elm.client.topic(topic)).toMatchObject({ generation: 1, records: 1 })

  for (const peer of peers) await peer.client.lab.heal()
  await eventually('all see all alive', async () => {
    for (const peer of peers) if (!(await sees(peer, ['oak', 'elm', 'ash'], 'alive'))) return false
    return true
  })
  await eventually('everybody has the new topic, and nobody the old one', async () => {
    for (const peer of peers) if ((await peer.client.topic(topic)).generation !== 1) return false
    return isConverged(peers, topic)
  })
  for (const peer of peers) expect(await valuesAt(peer, topic)).toEqual(['anew'])
  await expect(ash.client.read(topic, { from: before.cursor })).rejects.toMatchObject({
    code: 'TOPIC_DELETED',
    facts: { topic, generation: 0, remains },
  })

  await eventually('what ash has acked is kept by everybody, under a name of its own', async () => {
    const kept = await Promise.all(peers.map((peer) => valuesAt(peer, remains)))
    return kept.every((values) => values.join() === 'meanwhile,still')
  })
  for (const peer of peers) {
    const { topics, deleted } = await peer.client.topicList()
    expect(topics.map(({ topic: name }) => name)).toEqual([topic])
    expect(deleted).toMatchObject([{ topic: remains, records: 2, feeds: 1 }])
    expect(deleted[0]?.goesInMs).toBeLessThanOrEqual(graceMs)
    const figures = new PrometheusText(await (await fetch(`${peer.http}/metrics`)).text())
    expect(figures.sum('grapevine_topics_deleted_records')).toBe(2)
  }
  await eventually('each has a line of log about it', () =>
    Promise.resolve(peers.every(({ log }) => log.includes('records of a deleted topic kept'))),
  )
  await expect(ash.client.publish(remains, 'more')).rejects.toMatchObject({ code: 'TOPIC_NAME_INVALID' })

  const isGone = async (): Promise<boolean> => {
    const left = await Promise.all(peers.map(({ client }) => client.topicList()))
    return left.every(({ deleted }) => deleted.length === 0)
  }
  await eventually('the grace time is over, and it is gone everywhere', isGone, 2 * graceMs)
  for (const peer of peers) {
    await expect(peer.client.read(remains)).rejects.toMatchObject({ code: 'TOPIC_NOT_FOUND' })
    expect(await valuesAt(peer, topic)).toEqual(['anew'])
  }
})
