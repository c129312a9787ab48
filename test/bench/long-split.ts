import { once } from 'node:events'
import type { ProcessPeer } from '../integration/process-peer.ts'
import { eventually } from '../integration/process-peer.ts'
import { isConverged } from '../integration/topic-contents.ts'
import { type Figure, megabytes, megabytesPerSecond, millis, percent, perSecond, quantile, seconds } from './figures.ts'
import { type BenchMesh, benchMesh } from './mesh.ts'
import { Probes } from './probes.ts'
import { cpuMsOf, memoryOf, metricsOf, resetPeak } from './process-figures.ts'
import { type RawStream, rawStream } from './raw-stream.ts'

const topic = 'orders'
const value = 'v'.repeat(128)
const perRequest = 1_000
const requestsInFlight = 4
const quietMs = 5_000
const convergeMsMax = 600_000

/**
 * So many records on each side of a split, two peers on one and one on the other; then the heal. Twice: with small publishes
 * at each peer, for what they have to wait, and with nobody at all, for how fast it can be.
 */
export async function longSplit(records: number, profiles?: string): Promise<readonly Figure[]> {
  await using mesh = await benchMesh(profiles)
  const { peers } = mesh
  const [oak] = peers
  await oak.client.publish(topic, 'first', { ack: 'all' })
  // The first publishes of a process cost many times as much as later ones.
  await probed(peers, () => idleFor(quietMs / 2))
  const quiet = await probed(peers, () => idleFor(quietMs))

  say('the split')
  const split = await probed(peers, () => publishApart(peers, records))
  const splitPeak = await peakOf(peers)

  say('a raw stream')
  const before = await Promise.all(peers.map(committedBytes))
  const bytes = before[2] ?? 0
  const raw = await rawStream(bytes)
  // What one pair of processes does alone is no measure of what three do at once on the same processors.
  const raws = await Promise.all(peers.map(() => rawStream(bytes)))

  say('the heal')
  await Promise.all(peers.map(({ pid }) => resetPeak(pid)))
  const busy = await probed(peers, () => heal(peers, 2 * records + 1))
  say('once more, with nobody publishing while it heals')
  await publishApart(peers, records)
  const idle = await heal(peers, 4 * records + 1)
  const healPeak = await peakOf(peers)
  const count = records.toLocaleString('en')
  return [
    {
      what: `split: ${count} records of 128 B on each side`,
      value: `${perSecond(records, split.result)} per side`,
      against: `both sides at once, one of them with a copy; peak ${megabytes(splitPeak)} RSS`,
    },
    ...catchUpFigures(idle, raw, raws),
    {
      what: '… peak memory of a peer',
      value: `${megabytes(healPeak)} RSS`,
      against: `${megabytes(bytes)} on its disk before`,
    },
    {
      what: 'heal while clients publish: all hold the same',
      value: `after ${seconds(busy.result.doneMs)}`,
      against: `${rateOf(busy.result, sum(busy.result.received))} by all three together: it leaves room to clients`,
    },
    {
      what: '… ack=local meanwhile',
      value: `${timesOf(busy)}: ${(quantile(busy.times, 0.99) / quantile(quiet.times, 0.99)).toFixed(1)} × quiet`,
      against: `quiet: ${timesOf(quiet)}`,
    },
    { what: 'ack=local in the split', value: timesOf(split), against: `quiet: ${timesOf(quiet)}` },
  ]
}

const timesOf = ({ times }: { readonly times: readonly number[] }): string =>
  `p50 ${millis(quantile(times, 0.5))}, p99 ${millis(quantile(times, 0.99))}`

/** `raws`: as many at once as there are peers. */
function catchUpFigures(heal: Heal, raw: RawStream, raws: readonly RawStream[]): readonly Figure[] {
  const { firstMs, doneMs, cpuMs, received } = heal
  const total = sum(received)
  const most = Math.max(...received)
  const rawsBytes = sum(raws.map(({ bytes }) => bytes))
  const rawsMs = Math.max(...raws.map(({ tookMs }) => tookMs))
  const share = (count: number, bytes = raw.bytes, tookMs = raw.tookMs): string =>
    `${percent(count / (doneMs - firstMs) / (bytes / tookMs))} of raw`
  const cpuPerMegabyte = (ms: number, count: number): string => `${(ms / (count / 1e6)).toFixed(1)} ms per MB`
  const rawRate = `a raw libp2p stream of as many bytes: ${megabytesPerSecond(raw.bytes, raw.tookMs)}`
  return [
    {
      what: 'heal: all three hold the same bytes',
      value: `after ${seconds(doneMs)}`,
      against: `first records across after ${seconds(firstMs)}; no restart`,
    },
    { what: '… catching up, per peer', value: `${rateOf(heal, most)}, ${share(most)}`, against: rawRate },
    { what: '… catching up, all three together', value: `${rateOf(heal, total)}, ${share(total)}`, against: rawRate },
    {
      what: '… the same beside as many raw streams at once',
      value: share(total, rawsBytes, rawsMs),
      against: `${megabytesPerSecond(rawsBytes, rawsMs)} together`,
    },
    {
      what: '… processor time, both ends, disk included',
      value: cpuPerMegabyte(cpuMs, total),
      against: `the raw stream: ${cpuPerMegabyte(raw.cpuMs, raw.bytes)}`,
    },
  ]
}

const rateOf = ({ firstMs, doneMs }: Heal, count: number): string => megabytesPerSecond(count, doneMs - firstMs)

const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0)

/** Does it with a probe at each peer. */
async function probed<T>(
  peers: readonly ProcessPeer[],
  run: () => Promise<T>,
): Promise<{ readonly result: T; readonly times: readonly number[] }> {
  const probes = peers.map((peer) => new Probes(peer))
  const result = await run()
  return { result, times: (await Promise.all(probes.map((probe) => probe.end()))).flat() }
}

async function idleFor(ms: number): Promise<void> {
  await once(AbortSignal.timeout(ms), 'abort')
}

/** So many on either side of a split, at once: how long it took them, until the two of a side hold the same. */
async function publishApart([oak, elm, ash]: BenchMesh['peers'], records: number): Promise<number> {
  await cut([oak, elm], [ash])
  const startMs = performance.now()
  await Promise.all([publish(oak, records), publish(ash, records)])
  const tookMs = performance.now() - startMs
  await eventually('oak and elm hold the same', async () => (await held(oak)) === (await held(elm)), convergeMsMax)
  return tookMs
}

async function cut(left: readonly ProcessPeer[], right: readonly ProcessPeer[]): Promise<void> {
  const names = (side: readonly ProcessPeer[]): readonly string[] => side.map(({ name }) => name)
  await Promise.all([
    ...left.map((peer) => peer.client.lab.drop(names(right))),
    ...right.map((peer) => peer.client.lab.drop(names(left))),
  ])
}

async function publish(at: ProcessPeer, count: number): Promise<void> {
  const records = Array.from({ length: perRequest }, () => ({ value }))
  let sent = 0
  const publisher = async (): Promise<void> => {
    while (sent < count) {
      sent += perRequest
      await at.client.publishMany(topic, records)
    }
  }
  await Promise.all(Array.from({ length: requestsInFlight }, publisher))
}

interface Heal {
  /** From the order to heal until the first records have come across, and until all hold the same. */
  readonly firstMs: number
  readonly doneMs: number
  readonly cpuMs: number
  /** By each peer, in bytes. */
  readonly received: readonly number[]
}

/** Until each holds so many records, and all the same. */
async function heal(peers: readonly ProcessPeer[], records: number): Promise<Heal> {
  const before = await Promise.all(
    peers.map(async (peer) => ({ held: await held(peer), bytes: await committedBytes(peer) })),
  )
  const startMs = performance.now()
  const cpuAtStart = await cpuMsOfAll(peers)
  await Promise.all(peers.map((peer) => peer.client.lab.heal()))
  // One after the other: each question costs the peer that is asked some of what is measured.
  const isAcross = async (): Promise<boolean> => {
    for (const [i, peer] of peers.entries()) if ((await held(peer)) > (before[i]?.held ?? 0)) return true
    return false
  }
  await eventually('something has come across', isAcross, convergeMsMax)
  const firstMs = performance.now() - startMs
  const isDone = async (): Promise<boolean> => {
    for (const peer of peers) if ((await held(peer)) !== records) return false
    return isConverged(peers, topic)
  }
  await eventually('all hold the same', isDone, convergeMsMax)
  const doneMs = performance.now() - startMs
  const cpuMs = (await cpuMsOfAll(peers)) - cpuAtStart
  const after = await Promise.all(peers.map(committedBytes))
  return { firstMs, doneMs, cpuMs, received: after.map((bytes, i) => bytes - (before[i]?.bytes ?? 0)) }
}

async function held(peer: ProcessPeer): Promise<number> {
  return (await peer.client.topics({ match: topic }))[0]?.records ?? 0
}

async function cpuMsOfAll(peers: readonly ProcessPeer[]): Promise<number> {
  return sum(await Promise.all(peers.map(({ pid }) => cpuMsOf(pid))))
}

const committedBytes = async (peer: ProcessPeer): Promise<number> =>
  (await metricsOf(peer)).sum('grapevine_storage_committed_bytes_total')

async function peakOf(peers: readonly ProcessPeer[]): Promise<number> {
  return Math.max(...(await Promise.all(peers.map(({ pid }) => memoryOf(pid)))).map(({ peak }) => peak))
}

const say = (what: string): void => void process.stderr.write(`${what} …\n`)
