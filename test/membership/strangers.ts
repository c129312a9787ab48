import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { millis, quantile } from '../bench/figures.ts'
import { Probes } from '../bench/probes.ts'
import { metricsOf } from '../bench/process-figures.ts'
import type { ProcessPeer } from '../integration/process-peer.ts'
import { Mesh } from '../netns/mesh.ts'
import { type Bound, say } from './beliefs.ts'
import { kinds, type Tally } from './stranger.ts'

const secret = 's'.repeat(64)
const slowdownMax = 2

/** Strangers of each kind come again and again to one of three peers, all of which have publishers. */
export async function strangers(runMs: number): Promise<readonly Bound[]> {
  await using things = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'grapevine-strangers-'))
  things.defer(() => rm(directory, { recursive: true, force: true }))
  const file = join(directory, 'secret')
  await writeFile(file, secret)
  const mesh = things.use(await Mesh.start(['oak', 'elm', 'ash'], 'local', { flags: ['--secret-file', file] }))
  const oak = mesh.peer('oak')
  await oak.client.publish('probes', 'first', { ack: 'all' })
  await probed(mesh.peers, runMs / 4)
  const quiet = await probed(mesh.peers, runMs)
  const bounds: Bound[] = []
  for (const kind of kinds) {
    const before = await refusedAt(oak)
    const child = fork(fileURLToPath(new URL('stranger.ts', import.meta.url)), [kind, oak.listen, secret])
    const told = once(child, 'message') as Promise<[Tally]>
    const times = await probed(mesh.peers, runMs)
    child.send('enough')
    const [{ visits, brokenOff, bytes }] = await told
    const refused = (await refusedAt(oak)) - before
    const slowdown = p99(times) / p99(quiet)
    bounds.push({
      what: kind,
      value: `${visits} times, broken off ${brokenOff}; ${bytes} bytes of the mesh; refused and counted ${refused}`,
      against: `healthy publishers p99 ${millis(p99(times))}, ${slowdown.toFixed(1)} × quiet (${millis(p99(quiet))})`,
      isKept: bytes === 0 && visits > 0 && slowdown <= slowdownMax,
    })
    say(`${kind}: ${visits}`)
  }
  const lines = oak.log.split('\n').filter((line) => line.includes('stranger refused'))
  say(lines.join('\n'))
  return bounds
}

const p99 = (times: readonly number[]): number => quantile(times, 0.99)

async function probed(peers: readonly ProcessPeer[], runMs: number): Promise<readonly number[]> {
  const probes = peers.map((peer) => new Probes(peer))
  await once(AbortSignal.timeout(runMs), 'abort')
  return (await Promise.all(probes.map((probe) => probe.end()))).flat()
}

const refusedAt = async (peer: ProcessPeer): Promise<number> =>
  (await metricsOf(peer)).sum('grapevine_node_strangers_total')
