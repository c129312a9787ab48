import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { connect, type Mesh } from '#client/mesh'
import type { ProcessPeer } from '../integration/process-peer.ts'
import { type Figure, megabytes, millis, perSecond, quantile } from './figures.ts'
import { benchMesh } from './mesh.ts'
import { postRate } from './posts.ts'
import { cpuMsOf, loopbackBytes, memoryOf } from './process-figures.ts'

const recordBytes = 128
const value = 'v'.repeat(recordBytes)
const perRequest = 1_000
const requestsInFlight = { few: 8, many: 64 }

/** Idle, throughput, latency, HTTP: what a change of any part may move. */
export async function basics(runMs: number, profiles?: string): Promise<readonly Figure[]> {
  await using mesh = await benchMesh(profiles)
  const [oak, elm] = mesh.peers
  return [
    ...(await idle(oak, runMs)),
    ...(await throughput(oak, elm, runMs)),
    ...(await latency(oak, mesh.directory)),
    ...(await httpRatio(oak, runMs)),
  ]
}

/** What a peer takes, and another gives out, in JSON and in bytes. */
export async function throughputs(runMs: number, profiles?: string): Promise<readonly Figure[]> {
  await using mesh = await benchMesh(profiles)
  const [oak, elm] = mesh.peers
  return await throughput(oak, elm, runMs)
}

/** How much of a bare route is left of HTTP publishes. */
export async function posts(runMs: number, profiles?: string): Promise<readonly Figure[]> {
  await using mesh = await benchMesh(profiles)
  return await httpRatio(mesh.peers[0], runMs)
}

/** Batches from one client with `ack=all`: three fsynced copies of each; read at another peer meanwhile. */
async function throughput(at: ProcessPeer, readAt: ProcessPeer, runMs: number): Promise<readonly Figure[]> {
  await using asJson = await connect({ servers: [at.http], binary: false })
  await using asBytes = await connect({ servers: [at.http] })
  await using reader = await connect({ servers: [readAt.http] })
  const inBytes = (topic: string): Reading => {
    return async (wanted) => {
      let count = 0
      for await (const _ of reader.subscribe(topic, { from: 'earliest' })) if (++count === wanted()) break
    }
  }
  const { few, many } = requestsInFlight
  const peers = { at: at.pid, readAt: readAt.pid }
  const json = { publisher: asJson, peers, runMs }
  const bytes = { publisher: asBytes, peers, runMs }
  return [
    ...(await figures('JSON', few, { ...json, topic: 'bulk', read: (wanted) => deliver(readAt, wanted) })),
    ...(await figures('binary', few, { ...bytes, topic: 'bytes', read: inBytes('bytes') })),
    ...(await figures('binary', many, { ...bytes, topic: 'more-bytes', read: inBytes('more-bytes') })),
  ]
}

/** Resolves once as many records were read as `wanted` says in the end. */
type Reading = (wanted: () => number | undefined) => Promise<void>

interface Run {
  readonly publisher: Mesh
  /** Their processes. */
  readonly peers: { readonly at: number; readonly readAt: number }
  readonly topic: string
  readonly runMs: number
  readonly read: Reading
}

async function figures(
  form: string,
  inFlight: number,
  { publisher, peers, topic, runMs, read }: Run,
): Promise<readonly Figure[]> {
  await publisher.publish(topic, 'first', { ack: 'all' })
  const cpuMs = { at: await cpuMsOf(peers.at), readAt: await cpuMsOf(peers.readAt) }
  const started = performance.now()
  let published = 0
  let isDone = false
  const delivered = read(() => (isDone ? published + 1 : undefined))
  const records = Array.from({ length: perRequest }, () => ({ value }))
  const publishOn = async (): Promise<void> => {
    while (performance.now() - started < runMs) {
      const { reached } = await publisher.publishMany(topic, records, { ack: 'all' })
      if (!reached) throw new Error('a publish did not reach all three')
      published += perRequest
    }
  }
  await Promise.all(Array.from({ length: inFlight }, publishOn))
  const publishedMs = performance.now() - started
  // One more, for who reads record by record may have had all of these already; counted before it can be read.
  published++
  isDone = true
  await publisher.publish(topic, 'last')
  await delivered
  const deliveredMs = performance.now() - started
  const spent = async (peer: 'at' | 'readAt'): Promise<string> =>
    `${millis((((await cpuMsOf(peers[peer])) - cpuMs[peer]) / published) * 1_000)} of its processor for 1,000 records`
  return [
    {
      what: `${recordBytes} B records, ack=all, ${perRequest} per request, ${inFlight} requests in flight, ${form}: published`,
      value: perSecond(published, publishedMs),
      against: `three fsynced copies of each; ${await spent('at')}`,
    },
    {
      what: '… and read at another peer',
      value: perSecond(published, deliveredMs),
      against: `${form}, while they are published; ${await spent('readAt')}`,
    },
  ]
}

/** Reads from the earliest on until as many records came as `wanted` says in the end. */
async function deliver(at: ProcessPeer, wanted: () => number | undefined): Promise<void> {
  let count = 0
  let from = 'earliest'
  while (count < (wanted() ?? Number.POSITIVE_INFINITY)) {
    const page = await at.client.read('bulk', { from, limit: 1_000, waitMs: 200 })
    count += page.records.length
    from = page.cursor
  }
}

/** One publish at a time, against one fsync of as many bytes and one answer of the same gateway. */
async function latency(at: ProcessPeer, directory: string): Promise<readonly Figure[]> {
  const rounds = 500
  const timed = async (run: () => Promise<unknown>): Promise<string> => {
    const times: number[] = []
    for (let i = 0; i < rounds; i++) {
      const started = performance.now()
      await run()
      times.push(performance.now() - started)
    }
    return `p50 ${millis(quantile(times, 0.5))}, p99 ${millis(quantile(times, 0.99))}`
  }
  const file = await open(join(directory, 'fsync'), 'a')
  const bytes = Buffer.alloc(recordBytes)
  const fsync = await timed(async () => {
    await file.write(bytes)
    await file.datasync()
  })
  await file.close()
  const answer = await timed(() => at.client.self())
  const against = `one write + fdatasync: ${fsync}; GET /v1/mesh/self: ${answer}`
  return [
    { what: 'one publish at a time, ack=local', value: await timed(() => at.client.publish('single', value)), against },
    {
      what: 'one publish at a time, ack=all',
      value: await timed(() => at.client.publish('single', value, { ack: 'all' })),
      against,
    },
  ]
}

/** Publishes over 32 connections, and a bare route that reads its body; in turns, so that both see the same machine. */
async function httpRatio(at: ProcessPeer, runMs: number): Promise<readonly Figure[]> {
  const bare = spawn(process.execPath, [fileURLToPath(new URL('bare-route.ts', import.meta.url))], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [bareUrl] = (await once(createInterface({ input: bare.stdout }), 'line')) as [string]
  const body = new TextEncoder().encode(value)
  const url = `${at.http}/v1/topics/posts/records?ack=local`
  const rates = { peer: 0, bare: 0 }
  const turns = 4
  for (let turn = 0; turn < turns; turn++) {
    rates.peer += await postRate(url, body, 32, runMs / turns)
    rates.bare += await postRate(bareUrl, body, 32, runMs / turns)
  }
  bare.kill()
  const share = `${Math.round((rates.peer / rates.bare) * 100)} % of a bare Hono route that reads its body (${perSecond(rates.bare, runMs)})`
  return [{ what: `HTTP publish, ack=local, 32 connections`, value: perSecond(rates.peer, runMs), against: share }]
}

/** A mesh in which nothing happens: processor, memory, and what goes over the wire for each peer. */
async function idle(peer: ProcessPeer, runMs: number): Promise<readonly Figure[]> {
  await once(AbortSignal.timeout(5_000), 'abort')
  const before = { cpuMs: await cpuMsOf(peer.pid), bytes: await loopbackBytes(), atMs: performance.now() }
  await once(AbortSignal.timeout(Math.max(10_000, runMs)), 'abort')
  const seconds = (performance.now() - before.atMs) / 1_000
  const cpu = ((await cpuMsOf(peer.pid)) - before.cpuMs) / seconds / 10
  const kbit = (((await loopbackBytes()) - before.bytes) * 8) / 1_000 / seconds / 3
  const memory = await memoryOf(peer.pid)
  const value = `${cpu.toFixed(2)} % of a core, ${megabytes(memory.now)} RSS, ${kbit.toFixed(1)} kbit/s sent`
  return [{ what: 'an idle peer of three, profile local', value, against: 'TCP headers included' }]
}
