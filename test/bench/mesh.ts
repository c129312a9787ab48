import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ProcessPeer, startMesh } from '../integration/process-peer.ts'

export interface BenchMesh extends AsyncDisposable {
  readonly directory: string
  readonly peers: readonly [ProcessPeer, ProcessPeer, ProcessPeer]
}

/**
 * Three peers as processes on loopback, profile local, lab mode; gone with their data afterwards. `profiles`: where to leave
 * a CPU profile of each, from its start to its end.
 */
export async function benchMesh(profiles?: string): Promise<BenchMesh> {
  await using started = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'grapevine-bench-'))
  started.defer(() => rm(directory, { recursive: true, force: true }))
  const within = profiles === undefined ? [] : ['env', `NODE_OPTIONS=--cpu-prof --cpu-prof-dir=${profiles}`]
  // All clients of a bench come from one address, and have what all could have together.
  const flags = ['--max-connections', '50000', '--rate', '1000000', '--rate-bytes', '10000000000']
  const peers = await startMesh(directory, ['oak', 'elm', 'ash'], () => ({ within, flags }))
  for (const peer of peers) {
    started.use(peer)
    // What is killed leaves no profile.
    if (profiles !== undefined) started.defer(async () => void (await peer.end('SIGTERM')))
  }
  const kept = started.move()
  return {
    directory,
    peers: peers as [ProcessPeer, ProcessPeer, ProcessPeer],
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}
