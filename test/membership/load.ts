import { pause } from '#client/backoff'
import type { ProcessPeer } from '../integration/process-peer.ts'

export interface LoadConfig {
  readonly topics: readonly string[]
  readonly perRequest: number
  readonly pauseMs: number
}

export interface Load extends AsyncDisposable {
  /** How many records were accepted. Rejects if one was refused. */
  end(): Promise<number>
}

/** A publisher at each of these, to some topics in turn, until it is ended. */
export function startLoad(peers: readonly ProcessPeer[], { topics, perRequest, pauseMs }: LoadConfig): Load {
  const stop = new AbortController()
  const { signal } = stop
  let accepted = 0
  const publisher = async (peer: ProcessPeer): Promise<void> => {
    for (let request = 0; !signal.aborted; request++) {
      const records = Array.from({ length: perRequest }, () => ({ value: 'v'.repeat(128) }))
      await peer.client.publishMany(topics[request % topics.length] as string, records)
      accepted += perRequest
      await pause(pauseMs, signal).catch(() => undefined)
    }
  }
  const work = Promise.all(peers.map(publisher))
  // What goes wrong is told at the end.
  work.catch(() => undefined)
  const end = async (): Promise<number> => {
    stop.abort()
    await work
    return accepted
  }
  return { end, [Symbol.asyncDispose]: async () => void (await end().catch(() => undefined)) }
}
