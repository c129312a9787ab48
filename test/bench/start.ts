import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ProcessPeer } from '../integration/process-peer.ts'
import { type Figure, megabytes, seconds } from './figures.ts'
import { memoryOf } from './process-figures.ts'

const topics = 10
const recordBytes = 1_000
const perRequest = 4_000
const requestsInFlight = 3
const rounds = 3

/** How soon a peer with so much on its disk answers clients, after a good end and after kill -9. */
export async function start(logBytes: number): Promise<readonly Figure[]> {
  await using things = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'grapevine-bench-'))
  things.defer(() => rm(directory, { recursive: true, force: true }))
  const empty = await timed(() => ProcessPeer.start({ name: 'oak', data: join(directory, 'oak') }))
  let { peer } = empty
  things.defer(() => peer[Symbol.asyncDispose]())
  await fill(peer, logBytes)
  const startedAfter = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<number> => {
    const times: number[] = []
    for (let round = 0; round < rounds; round++) {
      await peer.end(signal)
      peer.client.close()
      const again = await timed(() => peer.restart())
      peer = again.peer
      times.push(again.ms)
    }
    return Math.max(...times)
  }
  const log = `${megabytes(logBytes)} of log in ${topics} topics`
  const against = `an empty one: ${seconds(empty.ms)}`
  const end = await startedAfter('SIGTERM')
  const kill = await startedAfter('SIGKILL')
  const memory = await memoryOf(peer.pid)
  return [
    { what: `${log}: ready after a good end`, value: seconds(end), against },
    {
      what: `${log}: ready after kill -9`,
      value: seconds(kill),
      against: `${against}; ${megabytes(memory.now)} RSS then`,
    },
  ]
}

async function timed(run: () => Promise<ProcessPeer>): Promise<{ readonly peer: ProcessPeer; readonly ms: number }> {
  const startMs = performance.now()
  const peer = await run()
  return { peer, ms: performance.now() - startMs }
}

async function fill(peer: ProcessPeer, bytes: number): Promise<void> {
  const letters = 'abcdefghijklmnopqrstuvwxyz'
  // No two values are alike, so that compression does not make less of it.
  const value = (): string => {
    const codes = Array.from({ length: recordBytes / 10 }, () =>
      Math.random().toString(36).slice(2, 12).padEnd(10, letters),
    )
    return codes.join('')
  }
  let sent = 0
  const publisher = async (): Promise<void> => {
    for (let request = 0; sent < bytes; request++) {
      sent += perRequest * recordBytes
      const records = Array.from({ length: perRequest }, () => ({ value: value() }))
      await peer.client.publishMany(`t.${request % topics}`, records)
    }
  }
  await Promise.all(Array.from({ length: requestsInFlight }, publisher))
}
