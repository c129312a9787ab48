// Goal: whoever reads at a peer that keeps nothing of a topic gets each record once and in order, whatever happens to those
// who keep it, and also after moving on with its cursor. Method: five real peers, three of which keep `orders`; a WebSocket
// and server-sent events at the two others, while keepers are killed and started again, one after the other.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually, type ProcessPeer, startMesh } from './process-peer.ts'
import { readAll, verify } from './topic-contents.ts'

const names = ['oak', 'elm', 'ash', 'fir', 'yew']
const total = 1_200

let directory = ''
const peers = new Map<string, ProcessPeer>()
let home: string[] = []
let outsiders: string[] = []
const peer = (name: string | undefined): ProcessPeer => peers.get(name ?? '') as ProcessPeer

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'grapevine-following-'))
  for (const one of await startMesh(directory, names)) peers.set(one.name, one)
  await peer('oak').client.createTopic('orders', { replicas: 3 })
  await peer('oak').client.publish('orders', -1)
  await eventually('everybody knows who keeps the topic', async () => {
    const seen = await Promise.all(names.map((name) => homeSeenAt(peer(name))))
    home = seen[0] ?? []
    return home.length === 3 && new Set(seen.map((one) => one.join())).size === 1
  })
  outsiders = names.filter((name) => !home.includes(name))
})

afterAll(async () => {
  for (const one of peers.values()) await one[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

async function homeSeenAt({ client }: ProcessPeer): Promise<string[]> {
  const { replicas } = await client.topicStatus('orders')
  return replicas.flatMap(({ role, name }) => (role === 'home' ? [name] : [])).toSorted()
}

/** What both readers have got, and the gaps that were told as lost. */
const seen = { webSocket: [] as number[], events: [] as number[], lost: [] as unknown[] }
const isDone = (values: readonly number[]): boolean => values.at(-1) === total - 1

async function readWebSocket(at: ProcessPeer): Promise<void> {
  for await (const item of at.client.stream('orders', { from: 'earliest' })) {
    if (item.type === 'gap' && item.gap.type === 'lost') seen.lost.push(item.gap)
    if (item.type === 'record') seen.webSocket.push(item.record.json<number>())
    if (isDone(seen.webSocket)) return
  }
}

async function readEvents(at: ProcessPeer): Promise<void> {
  const url = `${at.http}/v1/topics/orders/records?from=earliest`
  const { body } = await fetch(url, { headers: { accept: 'text/event-stream' } })
  let text = ''
  for await (const bytes of body as AsyncIterable<Uint8Array>) {
    text += new TextDecoder().decode(bytes)
    const events = text.split('\n\n')
    text = events.pop() ?? ''
    for (const event of events) {
      const data = /^data: (.*)$/m.exec(event)?.[1] ?? '{}'
      if (/^event: gap$/m.test(event) && data.includes('"lost"')) seen.lost.push(data)
      if (!/^event: /m.test(event) && data !== '{}') seen.events.push((JSON.parse(data) as { value: number }).value)
    }
    if (isDone(seen.events)) return
  }
}

test('a subscriber where the topic is not kept sees no gap and no repeat while its sources are killed', async () => {
  const [first, second, third] = home
  const readers = [readWebSocket(peer(outsiders[0])), readEvents(peer(outsiders[1]))]
  const writer = peer(second).client
  for (let n = 0; n < total; n++) {
    await writer.publish('orders', n)
    if (n === 300) await peer(first).end('SIGKILL')
    if (n === 600) peers.set(first as string, await peer(first).restart())
    if (n === 900) await peer(third).end('SIGKILL')
  }
  await Promise.all(readers)
  const expected = Array.from({ length: total + 1 }, (_, n) => n - 1)
  expect(seen).toEqual({ webSocket: expected, events: expected, lost: [] })
})

test('nothing of the topic is on the disks of those who only served it, and they serve all of it', async () => {
  for (const name of outsiders) {
    const { replicas } = await peer(name).client.topicStatus('orders')
    const own = replicas.find((replica) => replica.name === name)
    const others = own?.feeds.filter(({ feed }) => !feed.startsWith(peer(name).peerId)) ?? []
    expect(others).toEqual([])
    expect(await readAll(peer(name), 'orders')).toHaveLength(total + 1)
  }
})

test('what an outsider writes is counted at home, by whoever is asked, and verify holds home against home', async () => {
  for (const [name, one] of peers) if (!one.isRunning) peers.set(name, await one.restart())
  const [writer, other] = outsiders.map(peer) as [ProcessPeer, ProcessPeer]
  const { id } = await writer.client.publish('orders', total)
  const ack = await other.client.awaitCopies('orders', id, { ack: 'all', wait: '30s' })
  expect({ ...ack, home: ack.home.toSorted() }).toMatchObject({ id, level: 'all', reached: true, home })
  expect(ack.peers.toSorted()).toEqual([...home, writer.name].toSorted())
  await eventually('verify is content', async () => (await verify(other, 'orders')) === 0)
  const { totals, behind } = await other.client.replication()
  expect([totals.behindRecords, behind]).toEqual([0, []])
})
