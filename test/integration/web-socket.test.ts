// Goal: whoever reads over a WebSocket gets each record once and in order, whatever happens to the peer it reads at, and hears
// of it. Method: three real peers; the one that serves is killed, the next one drains; a raw WebSocket reads beside the library.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { connect } from '#client/mesh'
import { type PeerFrame, socketPath, socketProtocol } from '#protocol/wire/socket-frames'
import { eventually, type ProcessPeer, sees, startMesh } from './process-peer.ts'

let directory = ''
let peers: ProcessPeer[] = []

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'grapevine-web-socket-'))
  peers = await startMesh(directory, ['oak', 'elm', 'ash'])
})

afterEach(async () => {
  for (const peer of peers) await peer[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

const trio = (): [ProcessPeer, ProcessPeer, ProcessPeer] => peers as [ProcessPeer, ProcessPeer, ProcessPeer]

test('a subscription moves from a killed peer to a second and from a draining one to a third, without gap or repeat', async () => {
  const [oak, elm, ash] = trio()
  await using mesh = await connect({ servers: [oak.http, elm.http] })
  const total = 1_500
  const publishing = (async () => {
    for (let n = 0; n < total; n++) await ash.client.publish(`orders.${n % 3}`, n)
  })()
  const seen: number[] = []
  const stages = [() => oak.end('SIGKILL'), () => elm.end('SIGTERM')]
  for await (const item of mesh.stream('orders.*', { from: 'earliest' })) {
    if (item.type !== 'record') continue
    seen.push(item.record.json<number>())
    if (seen.length === total) break
    if (seen.length >= (total / 3) * (3 - stages.length)) void stages.shift()?.()
  }
  await publishing
  expect(mesh.server).toBe(ash.http)
  expect(seen.toSorted((a, b) => a - b)).toEqual(Array.from({ length: total }, (_, n) => n))
  for (const topic of [0, 1, 2]) {
    const inTopic = seen.filter((n) => n % 3 === topic)
    expect(inTopic).toEqual(inTopic.toSorted((a, b) => a - b))
  }
})

test('both sides of a cut are told who is left, and that it is healed', async () => {
  const [oak, elm, ash] = trio()
  const told = new Map(peers.map(({ name }) => [name, [] as string[]]))
  const reading = peers.map(async ({ name, client }) => {
    for await (const item of client.stream('**')) {
      if (item.type === 'partition') told.get(name)?.push(item.reachable.join(' '))
      if (item.type === 'healed') return void told.get(name)?.push('healed')
    }
  })
  await oak.client.lab.drop(['elm', 'ash'])
  await elm.client.lab.drop(['oak'])
  await ash.client.lab.drop(['oak'])
  await eventually('all know the cut', () =>
    Promise.resolve([...told].every(([name, news]) => news.at(-1) === (name === 'oak' ? 'oak' : 'ash elm'))),
  )
  for (const peer of peers) await peer.client.lab.heal()
  await Promise.all(reading)
  await eventually('all are alive again', () => sees(oak, ['elm', 'ash'], 'alive'))
})

test('what a raw WebSocket reads is what the library reads, and its cursors work there', async () => {
  const [oak, elm] = trio()
  for (const value of ['pears', 'figs', 'plums']) await oak.client.publish('orders', value, { ack: 'all' })
  const socket = new WebSocket(oak.http.replace('http', 'ws') + socketPath, socketProtocol)
  const records: { readonly id: string; readonly cursor: string }[] = []
  await new Promise<void>((resolve, reject) => {
    socket.onclose = reject
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(String(data)) as PeerFrame<{ id: string }>
      if (frame.type === 'welcome') {
        socket.send(JSON.stringify({ type: 'subscribe', sub: 'a', topics: ['orders'], from: 'earliest', credit: 2 }))
      }
      if (frame.type === 'record') records.push({ id: frame.record.id, cursor: frame.cursor })
      if (records.length === 2) resolve()
    }
  })
  socket.close()
  const { records: all } = await elm.client.read('orders')
  expect(records.map(({ id }) => id)).toEqual(all.slice(0, 2).map(({ id }) => id))
  for await (const record of elm.client.subscribe('orders', { from: records[1]?.cursor ?? '' })) {
    expect(record.text()).toBe('plums')
    break
  }
})
