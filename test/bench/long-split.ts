import { once } from 'node:events'
import type { ProcessPeer } from '../integration/process-peer.ts'
import { eventually } from '../integration/process-peer.ts'
import { isConverged } from '../integration/topic-contents.ts'
import { type Figure, megabytes, megabytesPerSecond, millis, percent, perSecond, quantile, seconds } from './figures.ts'
import { benchMesh } from './mesh.ts'
import { Probes } from './probes.ts'
import { cpuMsOf, memoryOf, metricsOf, resetPeak } from './process-figures.ts'
import { type RawStream, rawStream } from './raw-stream.ts'

const topic = 'orders'
const value = 'v'.repeat(128)
const perRequest = 1_000
const requestsInFlight = 4
const quietMs = 5_000
const convergeMsMax = 600_000

/** So many records on each side of a split, two peers on one and one on the other; then the heal, with small publishes meanwhile. */
export async function longSplit(records: number, profiles?: string): Promise<readonly Figure[]> {
  await using mesh = await benchMesh(profiles)
  const { peers } = mesh
  const [oak, elm, ash] = peers
  await oak.client.publish(topic, 'first', { ack: 'all' })
  // The first publishes of a process cost many times as much as later ones.
  await probed(peers, () => idleFor(quietMs / 2, peers))
  const quiet = await probed(peers, () => idleFor(quietMs, peers))

  await cut([oak, elm], [ash])
  say('the split')
  const startMs = performance.now()
  const split = await probed(peers, () => Promise.all([publish(oak, records), publish(ash, records)]))
  const splitMs = performance.now() - startMs
  await eventually('oak and elm hold the same', async () => (await held(oak)) === (await held(elm)), convergeMsMax)
  const peaks = { split: await peakOf(peers), heal: 0 }

  say('a raw stream')
  const before = await Promise.all(peers.map(committedBytes))
  const bytes = before[2] ?? 0
  const raw = await rawStream(bytes)
  // What one pair of processes does alone is no measure of what three do at once on the same processors.
  const raws = await Promise.all(peers.map(() => rawStream(bytes)))

  say('the heal')
  await Promise.all(peers.map(({ pid }) => resetPeak(pid)))
  const healed = await probed(peers, () => heal(peers, records))
  peaks.heal = await peakOf(peers)
  const after = await Promise.all(peers.map(committedBytes))
  const received = after.map((count, i) => count - (before[i] ?? 0))
  // What each small publish and its copies cost; the questions of this bench whether it is over come on top.
  const probesCpuMs = (quiet.result / quiet.times.length) * healed.times.length
  const count = records.toLocaleString('en')
  return [
    {
      what: `split: ${count} records of 128 B on each side`,
      value: `${perSecond(records, splitMs)} per side`,
      against: `both sides at once, one of them with a copy; peak ${megabytes(peaks.split)} RSS`,
    },
    ...catchUpFigures({ ...healed.result, received, raw, raws, probesCpuMs }),
    {
      what: '… peak memory of a peer',
      value: `${megabytes(peaks.heal)} RSS`,
      against: `${megabytes(bytes)} on its disk before`,
    },
    { what: 'ack=local in the split', value: timesOf(split), against: `quiet: ${timesOf(quiet)}` },
    {
      what: 'ack=local while catching up',
      value: `${timesOf(healed)}: ${(quantile(healed.times, 0.99) / quantile(quiet.times, 0.99)).toFixed(1)} × quiet`,
      against: `quiet: ${timesOf(quiet)}`,
    },
  ]
}

const timesOf = ({ times }: { readonly times: readonly number[] }): string =>
  `p50 ${millis(quantile(times, 0.5))}, p99 ${millis(quantile(times, 0.99))}`

interface CatchUp extends Heal {
  /** By each peer, in bytes. */
  readonly received: readonly number[]
  readonly raw: RawStream
  /** As many at once as there are peers. */
  readonly raws: readonly RawStream[]
  readonly probesCpuMs: number
}

function catchUpFigures(catchUp: CatchUp): readonly Figure[] {
  const { firstMs, doneMs, cpuMs, received, raw, raws, probesCpuMs } = catchUp
  const total = received.reduce((sum, count) => sum + count, 0)
  const most = Math.max(...received)
  const rawsBytes = raws.reduce((sum, { bytes }) => sum + bytes, 0)
  const rawsMs = Math.max(...raws.map(({ tookMs }) => tookMs))
  const rate = (count: number): string => megabytesPerSecond(count, doneMs - firstMs)
  const share = (count: number, bytes = raw.bytes, tookMs = raw.tookMs): string =>
    `${percent(count / (doneMs - firstMs) / (bytes / tookMs))} of raw`
  const cpuPerMegabyte = (ms: number, count: number): string => `${(ms / (count / 1e6)).toFixed(1)} ms per MB`
  const rawRate = `a raw libp2p stream of as many bytes: ${megabytesPerSecond(raw.bytes, raw.tookMs)}`
  const rawCpu = cpuPerMegabyte(raw.cpuMs, raw.bytes)
  return [
    {
      what: 'heal: all three hold the same bytes',
      value: `after ${seconds(doneMs)}`,
      against: `first records across after ${seconds(firstMs)}; no restart`,
    },
    { what: '… catching up, per peer', value: `${rate(most)}, ${share(most)}`, against: rawRate },
    { what: '… catching up, all three together', value: `${rate(total)}, ${share(total)}`, against: rawRate },
    {
      what: '… the same beside as many raw streams at once',
      value: share(total, rawsBytes, rawsMs),
      against: `${megabytesPerSecond(rawsBytes, rawsMs)} together`,
    },
    {
      what: '… processor time, both ends, disk included',
      value: cpuPerMegabyte(cpuMs, total),
      against: `the small publishes meanwhile: ${cpuPerMegabyte(probesCpuMs, total)}; the raw stream: ${rawCpu}`,
    },
  ]
}

/** Does it with a probe at each peer. */
async function probed<T>(
  peers: readonly ProcessPeer[],
  run: () => Promise<T>,
): Promise<{ readonly result: T; readonly times: readonly number[] }> {
  const probes = peers.map((peer) => new Probes(peer))
  const result = await run()
  return { result, times: (await Promise.all(probes.map((probe) => probe.end()))).flat() }
}

/** Processor time of all peers meanwhile. */
async function idleFor(ms: number, peers: readonly ProcessPeer[]): Promise<number> {
  const cpuAtStart = await cpuMsOfAll(peers)
  await once(AbortSignal.timeout(ms), 'abort')
  return (await cpuMsOfAll(peers)) - cpuAtStart
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
}

async function heal(peers: readonly ProcessPeer[], records: number): Promise<Heal> {
  const startMs = performance.now()
  const cpuAtStart = await cpuMsOfAll(peers)
  await Promise.all(peers.map((peer) => peer.client.lab.heal()))
  // One after the other: each question costs the peer that is asked some of what is measured.
  const isAcross = async (): Promise<boolean> => {
    for (const peer of peers) if ((await held(peer)) > records + 1) return true
    return false
  }
  await eventually('something has come across', isAcross, convergeMsMax)
  const firstMs = performance.now() - startMs
  const isDone = async (): Promise<boolean> => {
    for (const peer of peers) if ((await held(peer)) !== 2 * records + 1) return false
    return isConverged(peers, topic)
  }
  await eventually('all hold the same', isDone, convergeMsMax)
  return { firstMs, doneMs: performance.now() - startMs, cpuMs: (await cpuMsOfAll(peers)) - cpuAtStart }
}

async function held(peer: ProcessPeer): Promise<number> {
  return (await peer.client.topics({ match: topic }))[0]?.records ?? 0
}

async function cpuMsOfAll(peers: readonly ProcessPeer[]): Promise<number> {
  return (await Promise.all(peers.map(({ pid }) => cpuMsOf(pid)))).reduce((sum, ms) => sum + ms, 0)
}

const committedBytes = async (peer: ProcessPeer): Promise<number> =>
  (await metricsOf(peer)).sum('grapevine_storage_committed_bytes_total')

async function peakOf(peers: readonly ProcessPeer[]): Promise<number> {
  return Math.max(...(await Promise.all(peers.map(({ pid }) => memoryOf(pid)))).map(({ peak }) => peak))
}

const say = (what: string): void => void process.stderr.write(`${what} …\n`)
