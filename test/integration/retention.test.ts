// Goal: what a topic keeps of a writer is bounded, on disk too; whoever comes with an old cursor is told exactly what is gone, and
// reads the rest. Method: several times the limit are published to three real peers, before and after one of them restarts.
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually, type ProcessPeer, startMesh } from './process-peer.ts'
import { isConverged } from './topic-contents.ts'

const limitBytes = 2_000_000
const valueBytes = 50_000
const published = 400
let directory = ''
let peers: ProcessPeer[] = []

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'grapevine-retention-'))
  peers = await startMesh(directory, ['oak', 'elm', 'ash'])
})

afterAll(async () => {
  for (const one of peers) await one[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

const at = (index: number): ProcessPeer => peers[index] as ProcessPeer

interface Page {
  readonly records: readonly { readonly feed: string; readonly offset: number }[]
  readonly cursor: string
  readonly upToDate: boolean
  readonly gaps?: readonly {
    readonly type: string
    readonly feed: string
    readonly from: number
    readonly to: number
  }[]
}

async function pageOf(peer: ProcessPeer, from: string, limit = 1_000): Promise<Page> {
  const answer = await fetch(`${peer.http}/v1/topics/logs/records?from=${from}&limit=${limit}`)
  return (await answer.json()) as Page
}

/** From there to the end. */
async function readOn(peer: ProcessPeer, from: string): Promise<Pick<Page, 'records'> & Required<Pick<Page, 'gaps'>>> {
  const { records, cursor, upToDate, gaps = [] } = await pageOf(peer, from)
  if (upToDate) return { records, gaps }
  const rest = await readOn(peer, cursor)
  return { records: [...records, ...rest.records], gaps: [...gaps, ...rest.gaps] }
}

async function keptBytes(name: string): Promise<number> {
  const path = join(directory, name, 'level')
  const sizes = await Promise.all((await readdir(path)).map((file) => stat(join(path, file)).catch(() => undefined)))
  return sizes.reduce((sum, one) => sum + (one?.size ?? 0), 0)
}

async function publish(peer: ProcessPeer, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    // Nothing that a disk could compress.
    const body = Buffer.from(crypto.getRandomValues(new Uint8Array(valueBytes)))
    const answer = await fetch(`${peer.http}/v1/topics/logs/records?ack=all&wait=20s`, { method: 'POST', body })
    expect(answer.status).toBe(201)
  }
}

test('several times the limit leave the limit, and an old cursor is told of the rest', async () => {
  const config = { retention: { bytes: limitBytes } }
  const made = await fetch(`${at(0).http}/v1/topics/logs`, {
    method: 'PUT',
    body: JSON.stringify(config),
    headers: { 'content-type': 'application/json' },
  })
  expect(made.status).toBe(201)
  await publish(at(0), 1)
  const { cursor } = await pageOf(at(1), 'earliest')
  await publish(at(0), published - 1)
  const expected = Math.ceil(limitBytes / valueBytes)
  for (const peer of peers) {
    await eventually('what is beyond the limit is gone', async () => {
      return (await readOn(peer, 'earliest')).records.length <= expected + 5
    })
  }
  await eventually('all hold the same', () => isConverged(peers, 'logs'))
  for (const peer of peers) {
    const { records, gaps } = await readOn(peer, cursor)
    const [first, last] = [records[0], records.at(-1)]
    expect(records.length).toBeGreaterThanOrEqual(expected - 1)
    expect(last?.offset).toBe(published - 1)
    expect(gaps).toEqual([{ type: 'lost', feed: first?.feed, from: 1, to: first?.offset }])
    expect(records.map(({ offset }) => offset)).toEqual(
      Array.from({ length: records.length }, (_, index) => (first?.offset ?? 0) + index),
    )
  }
})

test('the room on disk is given back, and a restart knows what it was', async () => {
  for (const name of ['oak', 'elm', 'ash']) {
    const isSmall = async () => (await keptBytes(name)) < (published * valueBytes) / 2
    await eventually('its files have shrunk', isSmall, 90_000)
  }
  await at(1).end('SIGTERM')
  peers[1] = await at(1).restart()
  const before = (await readOn(at(1), 'earliest')).records.length
  await publish(at(1), 80)
  // Of each peer that is published at, the limit stays.
  await eventually('of oak all is still there', async () => {
    return (await readOn(at(1), 'earliest')).records.length >= before + Math.ceil(limitBytes / valueBytes)
  })
})
