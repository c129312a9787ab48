// Goal: whatever a peer is given that it cannot take has a name, and the peer is none the worse for it: it serves the next
// request, and its memory goes back to where it was. Method: two real peers; each row of the table, then a look at oak.
// How WebSockets take bad frames is beside their code: gateway/ws.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PrometheusText } from '#test/prometheus-text'
import type { BadInput } from './bad-input/bad-input.ts'
import { badCursors } from './bad-input/cursors.ts'
import { badRequests } from './bad-input/http.ts'
import { badPeers } from './bad-input/peer-port.ts'
import { badStarts } from './bad-input/starts.ts'
import { eventually, type ProcessPeer, startMesh } from './process-peer.ts'

const MiB = 1024 * 1024
/** What a peer at rest goes up and down by between two collections of its garbage. */
const slackBytes = 32 * MiB

let directory = ''
let peers: ProcessPeer[] = []
const table: Record<string, { said: string; 'MiB before': number; after: number }> = {}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'grapevine-bad-input-'))
  peers = await startMesh(directory, ['oak', 'elm'])
  for (let i = 0; i < 200; i++) await serves()
})

afterAll(async () => {
  console.table(table)
  for (const peer of peers) await peer[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

const oak = (): ProcessPeer => peers[0] as ProcessPeer

/** A publish that both peers keep, and what is read of it. */
async function serves(): Promise<void> {
  const { client } = oak()
  const { ids, reached } = await client.publishMany('good', [{ value: 'pears' }], { ack: 'n:2' })
  expect(reached).toBe(true)
  const answer = await fetch(`${oak().http}/v1/topics/good/records/${ids[0]}`)
  expect(await answer.json()).toMatchObject({ value: 'pears' })
}

/** Objects, and buffers outside of the heap. */
async function memoryBytes(): Promise<number> {
  const figures = new PrometheusText(await (await fetch(`${oak().http}/metrics`)).text())
  return figures.sum('nodejs_heap_size_used_bytes') + figures.sum('nodejs_external_memory_bytes')
}

const inMiB = (bytes: number): number => Math.round(bytes / MiB)

async function endure(row: BadInput): Promise<void> {
  const before = await memoryBytes()
  const said = await row.give(oak(), { elm: peers[1] as ProcessPeer, directory })
  expect(said).toMatch(row.named)
  let after = 0
  await eventually('its memory is back', async () => {
    await serves()
    after = await memoryBytes()
    return after < before + slackBytes
  })
  const [line = ''] = said.split('\n')
  table[row.input] = { said: line.slice(0, 110), 'MiB before': inMiB(before), after: inMiB(after) }
}

describe.each([
  ['requests', badRequests],
  ['cursors', badCursors],
  ['peers', badPeers],
  ['starts', badStarts],
])('%s', (_, rows) => {
  test.each(rows.map((row) => [row.input, row] as const))('%s', (_input, row) => endure(row))
})

test('no stranger has become a member, and the peer has not made a mistake', async () => {
  const members = await oak().client.members()
  expect(
    members
      .filter(({ state }) => state !== 'left')
      .map(({ name }) => name)
      .toSorted(),
  ).toEqual(['elm', 'oak'])
  expect(oak().log).not.toMatch(/"level":"error"/)
})
