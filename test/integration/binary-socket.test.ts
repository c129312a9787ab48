// Goal: records in bytes are the records in JSON, to the last digit and cursor, and nobody loses or repeats one where a peer
// dies under a publisher and a reader. Method: three real peers; the library in binary beside a raw JSON WebSocket.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { connect } from '#client/mesh'
import type { OutgoingRecord, ReceivedRecord } from '#client/record'
import { binarySocketProtocol } from '#protocol/wire/binary-frame'
import { type PeerFrame, socketPath, socketProtocol } from '#protocol/wire/socket-frames'
import { type ProcessPeer, startMesh } from './process-peer.ts'

let directory = ''
let peers: ProcessPeer[] = []

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'grapevine-binary-socket-'))
  peers = await startMesh(directory, ['oak', 'elm', 'ash'])
})

afterEach(async () => {
  for (const peer of peers) await peer[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

const trio = (): [ProcessPeer, ProcessPeer, ProcessPeer] => peers as [ProcessPeer, ProcessPeer, ProcessPeer]

/** Records as JSON frames have them, each with its cursor. */
async function readJson(at: ProcessPeer, topic: string, count: number): Promise<object[]> {
  const socket = new WebSocket(at.http.replace('http', 'ws') + socketPath, socketProtocol)
  const records: object[] = []
  await new Promise<void>((resolve, reject) => {
    socket.onclose = reject
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(String(data)) as PeerFrame
      if (frame.type === 'welcome') {
        socket.send(JSON.stringify({ type: 'subscribe', sub: 'a', topics: [topic], from: 'earliest', credit: count }))
      }
      if (frame.type === 'record') records.push({ ...frame.record, cursor: frame.cursor })
      if (records.length === count) resolve()
    }
  })
  socket.close()
  return records
}

async function take(records: AsyncIterable<ReceivedRecord>, count: number): Promise<ReceivedRecord[]> {
  const taken: ReceivedRecord[] = []
  for await (const record of records) if (taken.push(record) === count) break
  return taken
}

/** What it chooses of both. */
async function chosenBy(at: ProcessPeer): Promise<string> {
  const socket = new WebSocket(at.http.replace('http', 'ws') + socketPath, [binarySocketProtocol, socketProtocol])
  await new Promise((resolve, reject) => {
    socket.onopen = resolve
    socket.onerror = reject
  })
  socket.close()
  return socket.protocol
}

test('what is published in bytes at one peer is read as bytes and as JSON at another: the same records and cursors', async () => {
  const [oak, elm] = trio()
  expect(await chosenBy(oak)).toBe(binarySocketProtocol)
  const values: OutgoingRecord[] = [
    { value: 'grüße', key: 'k1', headers: { 'Trace-Id': 'a1', lang: 'ü' } },
    { value: { item: 'pears', count: 3 } },
    { value: Uint8Array.of(0xff, 0, 0x80) },
    { value: '[1, 2', contentType: 'application/json' },
    { value: '' },
  ]
  const many = Array.from({ length: 300 }, (_, i) => ({ value: String(i) }))
  const first = await oak.client.publishMany('orders', values, { ack: 'all' })
  const { ids } = await oak.client.publishMany('orders', many, { ack: 'all' })
  const total = values.length + many.length
  const inBytes = await take(elm.client.subscribe('orders', { from: 'earliest' }), total)
  const inJson = await readJson(elm, 'orders', total)
  expect(inBytes.map((record) => JSON.parse(JSON.stringify(record)) as unknown)).toEqual(inJson)
  expect(inBytes.map(({ id }) => id)).toEqual([...first.ids, ...ids])
  expect(inBytes[0]).toMatchObject({ key: 'k1', headers: { 'trace-id': 'a1', lang: 'ü' } })
  expect(inBytes[3]?.text()).toBe('[1, 2')
  expect(inJson[3]).toMatchObject({ valueBase64: Buffer.from('[1, 2').toString('base64') })
})

test('a retry in JSON of what was published in bytes is answered with it, at another peer, too', async () => {
  const [oak, elm] = trio()
  const { ids } = await oak.client.publishMany('orders', [{ value: 'pears' }, { value: { n: 1 } }], {
    ack: 'all',
    idempotencyKey: 'a7',
  })
  const body = {
    records: [
      { value: 'pears', contentType: 'text/plain; charset=utf-8' },
      { value: { n: 1 }, contentType: 'application/json' },
    ],
  }
  const answer = await fetch(`${elm.http}/v1/topics/orders/records`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': 'a7' },
    body: JSON.stringify(body),
  })
  expect(await answer.json()).toMatchObject({ results: ids.map((id) => ({ id })) })
})

test('a reader that stops within a batch goes on there, at another peer', async () => {
  const [oak, elm] = trio()
  const values = Array.from({ length: 500 }, (_, i) => String(i))
  await oak.client.publishMany(
    'orders',
    values.map((value) => ({ value })),
    { ack: 'all' },
  )
  const read: string[] = []
  let from = 'earliest'
  for (const [at, count] of [
    [oak, 123],
    [elm, 1],
    [oak, 200],
    [elm, 176],
  ] as const) {
    const records = await take(at.client.subscribe('orders', { from }), count)
    read.push(...records.map((record) => record.text()))
    from = records.at(-1)?.cursor ?? from
  }
  expect(read).toEqual(values)
})

test('a peer is killed under a publisher and a reader: each record is read once', async () => {
  const [oak, elm, ash] = trio()
  await using mesh = await connect({ servers: [oak.http, elm.http] })
  await using readers = await connect({ servers: [oak.http, ash.http] })
  const batches = 60
  const perBatch = 50
  const total = batches * perBatch
  const publishing = (async () => {
    for (let batch = 0; batch < batches; batch++) {
      const records = Array.from({ length: perBatch }, (_, i) => ({ value: batch * perBatch + i }))
      await mesh.publishMany('orders', records, { ack: 'majority' })
    }
  })()
  const seen: number[] = []
  for await (const record of readers.subscribe('orders', { from: 'earliest' })) {
    seen.push(record.json<number>())
    if (seen.length === total / 3) void oak.end('SIGKILL')
    if (seen.length === total) break
  }
  await publishing
  expect(mesh.server).toBe(elm.http)
  expect(readers.server).toBe(ash.http)
  expect(seen.toSorted((a, b) => a - b)).toEqual(Array.from({ length: total }, (_, n) => n))
})
