// Goal: an export is the records of a topic byte for byte, and an import of it a merge: into another mesh once, however often it
// is repeated, and at whatever peer; into the mesh that it came from not at all. Real peers; commands of the CLI.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { run } from '#cli/main'
import { fakeTerminal } from '#test/fake-terminal'
import { type ProcessPeer, startMesh } from './process-peer.ts'

const started = new AsyncDisposableStack()
let oak: ProcessPeer
let elm: ProcessPeer
let other: ProcessPeer

beforeAll(async () => {
  const directory = await mkdtemp(join(tmpdir(), 'grapevine-export-'))
  started.defer(() => rm(directory, { recursive: true, force: true }))
  const mesh = await startMesh(directory, ['oak', 'elm'])
  const [alone] = await startMesh(directory, ['ash'])
  for (const peer of [...mesh, ...(alone ? [alone] : [])]) started.use(peer)
  ;[oak, elm, other] = [...mesh, alone] as [ProcessPeer, ProcessPeer, ProcessPeer]
})

afterAll(() => started.disposeAsync())

async function command(peer: ProcessPeer, args: readonly string[], stdin: readonly string[] = []) {
  const { terminal, stdout, stderr } = fakeTerminal({ stdin })
  expect([await run([...args, '--server', peer.http], terminal), stderr.text]).toEqual([0, expect.any(String)])
  return stdout.text
}

/** Values with keys, in the order in which they are read. */
async function contents(peer: ProcessPeer, topic: string): Promise<readonly string[]> {
  const found: string[] = []
  for await (const item of peer.client.stream(topic, { from: 'earliest' })) {
    if (item.type === 'caught-up') break
    if (item.type !== 'record') continue
    const { key = '' } = item.record
    found.push(`${key} ${Buffer.from(item.record.bytes()).toString('latin1')}`)
  }
  return found
}

test('what is exported from one mesh and imported into another is there once, and comes home as what it was', async () => {
  for (const [i, peer] of [oak, elm, oak].entries()) {
    const records = Array.from({ length: 300 }, (_, n) => ({ value: `${i} ${n}`, key: `k${n % 7}` }))
    await peer.client.publishMany('orders', records, { ack: 'all' })
  }
  await oak.client.publish('orders', Uint8Array.of(0, 255), { ack: 'all' })
  // Which JavaScript would write another way.
  await oak.client.publish('orders', '{ "id": 12345678902234567890 }', { ack: 'all', contentType: 'application/json' })
  const first = await command(elm, ['export', 'orders'])
  const lines = first.trimEnd().split('\n')
  expect(lines).toHaveLength(903)
  expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({ end: true, records: 902 })

  expect(await command(other, ['import', '-o', 'json'], [first])).toContain('"records":902,"present":0')
  expect((await contents(other, 'orders')).toSorted()).toEqual((await contents(oak, 'orders')).toSorted())
  // Again, with more behind it and from another cut on.
  await oak.client.publish('orders', 'one more', { ack: 'all' })
  const second = await command(oak, ['export', 'orders'])
  await command(other, ['import'], [second])
  await command(other, ['import'], [first])
  expect(await contents(other, 'orders')).toHaveLength(903)

  const home = await command(other, ['export', 'orders'])
  expect(await command(elm, ['import', '-o', 'json'], [home])).toContain('"records":0,"present":903')
  expect(await contents(elm, 'orders')).toHaveLength(903)
})

test('topics are brought together into one that has records of its own', async () => {
  await oak.client.publishMany(
    'red',
    ['r1', 'r2'].map((value) => ({ value })),
    { ack: 'all' },
  )
  await oak.client.publishMany(
    'blue',
    ['b1', 'b2'].map((value) => ({ value })),
    { ack: 'all' },
  )
  await oak.client.publishMany(
    'all',
    ['a1', 'a2', 'a3'].map((value) => ({ value })),
    { ack: 'all' },
  )
  // Each peer calls its feed alike in all topics.
  const both = await command(oak, ['export', 'red', 'blue'])
  for (let times = 0; times < 2; times++) await command(elm, ['import', '--topic', 'all'], [both])
  expect((await contents(elm, 'all')).toSorted()).toEqual([' a1', ' a2', ' a3', ' b1', ' b2', ' r1', ' r2'])
})

test('a large record comes through as a line', async () => {
  const value = Uint8Array.from({ length: 900_000 }, (_, i) => i % 251)
  await oak.client.publish('large', value)
  await command(other, ['import'], [await command(oak, ['export', 'large'])])
  expect(await contents(other, 'large')).toEqual([` ${Buffer.from(value).toString('latin1')}`])
})

test('an export goes on where the last one ended', async () => {
  await oak.client.publish('bills', 'first')
  const all = await command(oak, ['export', 'bills'])
  const { cursors } = JSON.parse(all.trimEnd().split('\n').at(-1) ?? '') as { cursors: Record<string, string> }
  await oak.client.publish('bills', 'second')
  const since = await command(oak, ['export', 'bills', '--from', cursors['bills'] ?? ''])
  expect(since).not.toContain('first')
  expect(since).toContain('second')
})
