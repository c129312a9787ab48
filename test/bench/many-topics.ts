import { connect, type Mesh } from '#client/mesh'
import type { ProcessPeer } from '../integration/process-peer.ts'
import { type Figure, perSecond } from './figures.ts'
import { benchMesh } from './mesh.ts'
import { bucketQuantile, cpuMsOf, metricsOf, writtenBytesOf } from './process-figures.ts'

const value = 'v'.repeat(128)
/** A socket takes 256 publishes at a time. */
const topicsPerClient = 200

/** Each topic has a writer of its own, which waits for its answer before it publishes the next record. All at one peer. */
export async function manyTopics(topics: number, runMs: number, profiles?: string): Promise<readonly Figure[]> {
  await using mesh = await benchMesh(profiles)
  const { peers } = mesh
  const names = Array.from({ length: topics }, (_, i) => `t.${i}`)
  const one = await run(peers, ['only'], runMs / 4)
  const many = await run(peers, names, runMs)
  const spread = await run(peers, names, runMs, 10)
  const what = `${topics.toLocaleString('en')} topics written at once`
  return [
    { what: `${what}, 128 B records one by one, ack=local`, value: many.rate, against: `one topic: ${one.rate}` },
    {
      what: '… delay of the event loop of the peer that takes them',
      value: many.delay,
      against: `one topic: ${one.delay}`,
    },
    { what: '… processor time per publish', value: many.cpu, against: `one topic: ${one.cpu}` },
    { what: '… bytes written to disk per byte published', value: many.written, against: `one topic: ${one.written}` },
    {
      what: `${what}, 10 records at a time`,
      value: spread.rate,
      against: `${spread.delay}; written ${spread.written}; ${spread.cpu}`,
    },
  ]
}

interface Run {
  readonly rate: string
  readonly delay: string
  readonly written: string
  readonly cpu: string
}

async function run(peers: readonly ProcessPeer[], topics: readonly string[], runMs: number, count = 1): Promise<Run> {
  const [at] = peers as [ProcessPeer]
  const clientCount = Math.ceil(topics.length / topicsPerClient)
  const clients = await Promise.all(Array.from({ length: clientCount }, () => connect({ servers: [at.http] })))
  const records = Array.from({ length: count }, () => ({ value }))
  // Not measured: the first record of a topic opens a feed.
  await Promise.all(
    topics.map((topic, i) => (clients[i % clientCount] as Mesh).publish(topic, 'first', { ack: 'all', wait: '30s' })),
  )
  const before = {
    metrics: await metricsOf(at),
    written: await writtenBy(peers),
    cpuMs: await cpuMsOfEach(peers),
    atMs: performance.now(),
  }
  let published = 0
  const write = async (topic: string, client: Mesh): Promise<void> => {
    while (performance.now() - before.atMs < runMs) {
      await client.publishMany(topic, records)
      published += count
    }
  }
  await Promise.all(topics.map((topic, i) => write(topic, clients[i % clientCount] as Mesh)))
  const tookMs = performance.now() - before.atMs
  const after = await metricsOf(at)
  const written = await writtenBy(peers)
  const cpuMs = await cpuMsOfEach(peers)
  for (const client of clients) client.close()
  const quantileMs = (share: number): number =>
    1_000 * bucketQuantile(before.metrics, after, 'grapevine_node_event_loop_delay_seconds', share)
  const perByte = written.map((bytes, i) => (bytes - (before.written[i] ?? 0)) / (published * value.length))
  return {
    rate: perSecond(published, tookMs),
    delay: `p50 < ${quantileMs(0.5).toFixed(0)} ms, p99 < ${quantileMs(0.99).toFixed(0)} ms`,
    cpu: `${cpuMs.map((ms, i) => (((ms - (before.cpuMs[i] ?? 0)) / published) * count).toFixed(2)).join(', ')} ms (each peer)`,
    written: `${perByte.map((factor) => factor.toFixed(1)).join(', ')} (each peer)`,
  }
}

const cpuMsOfEach = (peers: readonly ProcessPeer[]): Promise<number[]> =>
  Promise.all(peers.map(({ pid }) => cpuMsOf(pid)))

const writtenBy = (peers: readonly ProcessPeer[]): Promise<number[]> =>
  Promise.all(peers.map(({ pid }) => writtenBytesOf(pid)))
