import { execFile } from 'node:child_process'
import { cli, type ProcessPeer } from './process-peer.ts'

/** Wherever its process runs. */
type AnyPeer = Pick<ProcessPeer, 'name' | 'client'>

/** Everything that one peer serves of a topic from the earliest on, page by page, as `id value`. */
export async function readAll(peer: AnyPeer, topic: string): Promise<string[]> {
  const lines: string[] = []
  let from = 'earliest'
  for (;;) {
    const { records, cursor, upToDate } = await peer.client.read(topic, { from, limit: 1_000 })
    for (const record of records) lines.push(`${record.id} ${record.text()}`)
    if (upToDate) return lines
    from = cursor
  }
}

/** Offsets of one writer in the order in which a peer serves them, across its boots. */
export function offsetsOf(lines: readonly string[], writer: string): number[] {
  return lines
    .filter((line) => line.startsWith(`${writer}.`))
    .map((line) => Number(line.split(' ', 1)[0]?.split('.')[2]))
}

/** The same heads and hashes at every peer, as each says of itself. */
export async function headsOf(peer: AnyPeer, topic: string): Promise<string> {
  const { replicas } = await peer.client.topicStatus(topic)
  const own = replicas.find(({ name }) => name === peer.name)
  return (own?.feeds ?? [])
    .map(({ feed, nextOffset, hash }) => `${feed} ${nextOffset} ${hash}`)
    .toSorted()
    .join('\n')
}

export async function isConverged(peers: readonly AnyPeer[], topic: string): Promise<boolean> {
  for (const peer of peers) if (!(await peer.client.topicStatus(topic)).converged) return false
  const heads = await Promise.all(peers.map((peer) => headsOf(peer, topic)))
  return new Set(heads).size === 1
}

/** Follows the topic at one peer until it has seen `count` records that pass. */
export async function follow(
  at: ProcessPeer,
  topic: string,
  count: number,
  passes: (text: string) => boolean,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const seen: string[] = []
  for await (const record of at.client.subscribe(topic, { from: 'earliest', signal })) {
    if (passes(record.text())) seen.push(record.text())
    if (seen.length === count) return seen
  }
  return seen
}

/** `grapevine verify` of that topic, asked at this peer: its exit code. */
export function verify(at: ProcessPeer, topic: string): Promise<number> {
  return new Promise((resolve) => {
    const args = [cli, 'verify', topic, '--server', at.http]
    execFile(process.execPath, args, (error) => resolve(error === null ? 0 : Number(error.code)))
  })
}
