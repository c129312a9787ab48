import { once } from 'node:events'
import { eventually, type ProcessPeer } from '../integration/process-peer.ts'
import { type Figure, megabytes, millis, quantile, seconds } from './figures.ts'
import { benchMesh } from './mesh.ts'
import { cpuMsOf, loopbackBytes, memoryOf } from './process-figures.ts'

const settleMs = 10_000
const idleMs = 30_000
const createdAtOnce = 64
const singles = 200

/** Many topics in which nothing happens: what that costs, and whether one record is held up by all the others. */
export async function idleTopics(topics: number, profiles?: string): Promise<readonly Figure[]> {
  await using mesh = await benchMesh(profiles)
  const { peers } = mesh
  const few = await idle(peers)
  const single = await publishOne(peers, ['alone'])

  const startMs = performance.now()
  const names = Array.from({ length: topics }, (_, i) => `t.${i}`)
  const queue = [...names]
  const create = async (peer: ProcessPeer): Promise<void> => {
    for (let name = queue.pop(); name !== undefined; name = queue.pop()) await peer.client.publish(name, 'first')
  }
  await Promise.all(peers.flatMap((peer) => Array.from({ length: createdAtOnce }, () => create(peer))))
  const createdMs = performance.now() - startMs
  const haveAll = async (): Promise<boolean> => {
    const counts = await Promise.all(peers.map(async (peer) => (await peer.client.topics()).length))
    return counts.every((count) => count >= topics + 1)
  }
  await eventually('all know all topics', haveAll, 120_000)
  const knownMs = performance.now() - startMs

  const many = await idle(peers)
  const among = await publishOne(peers, names)
  const what = `${topics.toLocaleString('en')} topics × 3 peers`
  return [
    {
      what: `${what}: written to once each`,
      value: seconds(createdMs),
      against: `known everywhere after ${seconds(knownMs)}`,
    },
    { what: `${what}, idle: each peer`, value: idleText(many), against: `one topic: ${idleText(few)}` },
    { what: `${what}: one record to one of them, ack=all`, value: among, against: `to the only topic: ${single}` },
  ]
}

interface Idle {
  readonly cpuPercent: number
  readonly kbitPerSecond: number
  readonly memory: number
}

/** On average over the peers. */
async function idle(peers: readonly ProcessPeer[]): Promise<Idle> {
  await once(AbortSignal.timeout(settleMs), 'abort')
  const cpuMs = async (): Promise<number> => {
    return (await Promise.all(peers.map(({ pid }) => cpuMsOf(pid)))).reduce((sum, ms) => sum + ms, 0)
  }
  const before = { cpuMs: await cpuMs(), bytes: await loopbackBytes(), atMs: performance.now() }
  await once(AbortSignal.timeout(idleMs), 'abort')
  const tookSeconds = (performance.now() - before.atMs) / 1_000
  const memories = await Promise.all(peers.map(({ pid }) => memoryOf(pid)))
  return {
    cpuPercent: ((await cpuMs()) - before.cpuMs) / 10 / tookSeconds / peers.length,
    kbitPerSecond: (((await loopbackBytes()) - before.bytes) * 8) / 1_000 / tookSeconds / peers.length,
    memory: Math.max(...memories.map(({ now }) => now)),
  }
}

const idleText = ({ cpuPercent, kbitPerSecond, memory }: Idle): string =>
  `${cpuPercent.toFixed(2)} % of a core, ${kbitPerSecond.toFixed(1)} kbit/s sent, ${megabytes(memory)} RSS at most`

/** One record at a time, at each peer in turn: until it is fsynced at all of its home. */
async function publishOne(peers: readonly ProcessPeer[], topics: readonly string[]): Promise<string> {
  const times: number[] = []
  for (let i = 0; i < singles; i++) {
    const peer = peers[i % peers.length] as ProcessPeer
    const topic = topics[(i * 7919) % topics.length] as string
    const startMs = performance.now()
    const { reached } = await peer.client.publish(topic, 'one more', { ack: 'all' })
    if (!reached) throw new Error(`${topic} did not reach its home`)
    times.push(performance.now() - startMs)
  }
  return `p50 ${millis(quantile(times, 0.5))}, p99 ${millis(quantile(times, 0.99))}`
}
