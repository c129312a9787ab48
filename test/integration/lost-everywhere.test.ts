// Goal: a record that is damaged on every disk is told as lost, with its exact range, at every peer; everything else is
// read. Damage to two disks of three is repaired from the third. Method: bits of stored batches are flipped while all are down.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { batchRange } from '#storage/level-layout'
import { utf8 } from '#protocol/text'
import { eventually, type ProcessPeer, startMesh } from './process-peer.ts'

const names = ['oak', 'elm', 'ash'] as const
const records = Array.from({ length: 20 }, (_, i) => `record ${i}!`)
let directory = ''
let peers: ProcessPeer[] = []

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'grapevine-lost-'))
  peers = await startMesh(directory, names)
})

afterAll(async () => {
  for (const one of peers) await one[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

/** Changes one bit of the stored batch that holds this text. The peer is down. */
async function damage(name: string, text: string): Promise<void> {
  const database = new ClassicLevel<Uint8Array, Uint8Array>(join(directory, name, 'level'), {
    keyEncoding: 'view',
    valueEncoding: 'view',
  })
  // Every feed: the number that it has at this peer is not ours to know.
  const [first, last] = [batchRange(0, 0, 0).gte, batchRange(2 ** 32 - 1, 0, Number.MAX_SAFE_INTEGER).lte]
  let hits = 0
  for await (const [key, value] of database.iterator({ gte: first, lte: last })) {
    const at = Buffer.from(value).indexOf(utf8(text))
    if (at < 0) continue
    const changed = value.slice()
    changed[at] = (changed[at] ?? 0) ^ 1
    await database.put(key, changed, { sync: true })
    hits++
  }
  await database.close()
  expect(hits).toBe(1)
}

/** What this peer serves, and what it says that it cannot: `lost 10-11`. */
async function served(peer: ProcessPeer): Promise<{ readonly texts: string[]; readonly gaps: string[] }> {
  const { records: read, gaps } = await peer.client.read('orders', { limit: 1_000 })
  return { texts: read.map((record) => record.text()), gaps: gaps.map(({ type, from, to }) => `${type} ${from}-${to}`) }
}

test('what two disks lost comes back from the third; what all lost is told as lost', { timeout: 120_000 }, async () => {
  for (const record of records) {
    const { reached } = await (peers[0] as ProcessPeer).client.publish('orders', record, { ack: 'all', wait: '20s' })
    expect(reached).toBe(true)
  }
  for (const peer of peers) expect(await peer.end('SIGTERM')).toBe(0)
  for (const name of names) await damage(name, 'record 10!')
  for (const name of names.slice(0, 2)) await damage(name, 'record 4!')
  peers = await Promise.all(peers.map((peer) => peer.restart()))

  const rest = records.filter((record) => record !== 'record 10!')
  for (const peer of peers) {
    await eventually(`${peer.name} serves the rest and tells what is lost`, async () => {
      const { texts, gaps } = await served(peer)
      // Never anything wrong meanwhile, nor anything that is not owed as lost.
      for (const text of texts) expect(records).toContain(text)
      expect(gaps.filter((gap) => gap.startsWith('lost') && gap !== 'lost 10-11')).toEqual([])
      return gaps.includes('lost 10-11') && texts.length === rest.length
    })
    expect((await served(peer)).texts).toEqual(rest)
  }
  // The mesh goes on: what is published now reaches all, and is read behind the gap.
  const after = await (peers[1] as ProcessPeer).client.publish('orders', 'after', { ack: 'all', wait: '20s' })
  expect(after).toMatchObject({ reached: true, copies: 3 })
  for (const peer of peers) expect((await served(peer)).texts).toEqual([...rest, 'after'])
})
