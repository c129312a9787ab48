import { pause } from '#client/backoff'
import type { ProcessPeer } from '../integration/process-peer.ts'
import { eventually } from '../integration/process-peer.ts'
import { type Figure, megabytes, megabytesPerSecond, millis, perSecond, quantile } from './figures.ts'
import { benchMesh } from './mesh.ts'
import { memoryOf, metricsOf, resetPeak } from './process-figures.ts'

const latencyRounds = 400
const pacedMs = 5
const turns = 3
const readersAtOnce = 20

/**
 * What it costs a reader that its peer keeps nothing of the topic: of three peers two keep it, and the same is read at one
 * of these and at the third.
 */
export async function following(bytesEach: number, profiles?: string): Promise<readonly Figure[]> {
  await using mesh = await benchMesh(profiles)
  const small = await rolesOf(mesh.peers, 'small')
  const large = await rolesOf(mesh.peers, 'large')
  return [
    await latency(await rolesOf(mesh.peers, 'live')),
    await catchUp(small, 128, bytesEach),
    await catchUp(large, 16_384, bytesEach),
    await crowd(large),
  ]
}

interface Roles {
  readonly topic: string
  readonly keepers: readonly [ProcessPeer, ProcessPeer]
  readonly outsider: ProcessPeer
}

/** Makes the topic, and finds who keeps it. */
async function rolesOf(peers: readonly ProcessPeer[], topic: string): Promise<Roles> {
  await (peers[0] as ProcessPeer).client.createTopic(topic, { replicas: 2 })
  let home: readonly string[] = []
  await eventually('all know who keeps the topic', async () => {
    const homes = await Promise.all(
      peers.map(async ({ client }) => {
        const { replicas } = await client.topicStatus(topic)
        return replicas.flatMap(({ role, name }) => (role === 'home' ? [name] : []))
      }),
    )
    home = homes[0] ?? []
    return homes.every((names) => names.length === 2)
  })
  const sorted = peers.toSorted((a, b) => Number(home.includes(b.name)) - Number(home.includes(a.name)))
  const [first, second, outsider] = sorted as [ProcessPeer, ProcessPeer, ProcessPeer]
  return { topic, keepers: [first, second], outsider }
}

/** One publish at a time at one keeper; when each reader has it, counted from when it was begun. */
async function latency({ topic, keepers: [at, other], outsider }: Roles): Promise<Figure> {
  const begun = new Map<number, number>()
  const done = new AbortController()
  const readers = [at, other, outsider].map((peer) => readLatencies(peer, { topic, begun, signal: done.signal }))
  await pause(500, done.signal)
  for (let n = 0; n < latencyRounds; n++) {
    begun.set(n, performance.now())
    await at.client.publish(topic, n)
    await pause(pacedMs, done.signal)
  }
  const [own = [], keeper = [], followed = []] = await Promise.all(readers)
  done.abort()
  const inShort = (times: readonly number[]): string =>
    `p50 ${millis(quantile(times, 0.5))}, p99 ${millis(quantile(times, 0.99))}`
  const against = `at the peer that took it: ${inShort(own)}; at the other keeper: ${inShort(keeper)}`
  return { what: 'a record until it is read where the topic is not kept', value: inShort(followed), against }
}

async function readLatencies(
  { client }: ProcessPeer,
  {
    topic,
    begun,
    signal,
  }: { readonly topic: string; readonly begun: ReadonlyMap<number, number>; readonly signal: AbortSignal },
): Promise<number[]> {
  const times: number[] = []
  for await (const record of client.subscribe(topic, { from: 'latest', signal })) {
    times.push(performance.now() - (begun.get(record.json<number>()) ?? Number.NaN))
    if (times.length === latencyRounds) break
  }
  return times
}

/** Small records take most of their time as JSON, large ones on the wire. */
async function catchUp({ topic, keepers, outsider }: Roles, size: number, bytesEach: number): Promise<Figure> {
  const [keeper] = keepers
  const count = Math.floor(bytesEach / size)
  await fill(keeper, topic, size, count)
  const tookMs = { keeper: 0, outsider: 0 }
  // In turns, so that both see the same machine.
  for (let turn = 0; turn < turns; turn++) {
    tookMs.keeper += await readAllMs(keeper, topic, count)
    tookMs.outsider += await readAllMs(outsider, topic, count)
  }
  const rateOf = (ms: number): string =>
    `${perSecond(turns * count, ms)}, ${megabytesPerSecond(turns * count * size, ms)}`
  return {
    what: `catch-up of one reader there, ${size} B records, NDJSON`,
    value: rateOf(tookMs.outsider),
    against: `where the topic is kept: ${rateOf(tookMs.keeper)}`,
  }
}

async function fill({ client }: ProcessPeer, topic: string, size: number, count: number): Promise<void> {
  const value = 'v'.repeat(size)
  const perRequest = Math.min(1_000, Math.floor((4 * 2 ** 20) / size))
  for (let left = count; left > 0; left -= perRequest) {
    const records = Array.from({ length: Math.min(left, perRequest) }, () => ({ value }))
    await client.publishMany(topic, records, { ack: 'all', wait: '30s' })
  }
}

async function readAllMs({ http }: ProcessPeer, topic: string, count: number): Promise<number> {
  const startMs = performance.now()
  const headers = { accept: 'application/x-ndjson' }
  const { body } = await fetch(`${http}/v1/topics/${topic}/records?from=earliest`, { headers })
  let lines = 0
  for await (const bytes of body as AsyncIterable<Uint8Array>) for (const byte of bytes) if (byte === 10) lines++
  if (lines < count) throw new Error(`${lines} of ${count} records came`)
  return performance.now() - startMs
}

/** Many readers at once, each from the earliest on, begun one after the other. */
async function crowd({ topic, outsider }: Roles): Promise<Figure> {
  const before = await memoryOf(outsider.pid)
  await resetPeak(outsider.pid)
  const reads = Array.from({ length: readersAtOnce }, async (_, n) => {
    await pause(n * 50, new AbortController().signal)
    return readAllMs(outsider, topic, 0)
  })
  await Promise.all(reads)
  const { peak } = await memoryOf(outsider.pid)
  const cached = (await metricsOf(outsider)).sum('grapevine_node_remote_batches_bytes', {})
  return {
    what: `${readersAtOnce} readers at once there: peak memory of the process`,
    value: megabytes(peak),
    against: `before: ${megabytes(before.now)}; batches kept for the next reader: ${megabytes(cached)}, bounded at 16 MB`,
  }
}
