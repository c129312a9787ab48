// Goal: a disk fills up while a mesh works. Publishes are refused before it is full, reads go on, nobody counts the peer as a
// copy of what came later or sends it that again and again; with room it goes on without a restart. Method: oak's data on a
// small tmpfs with a ballast that is taken away in the end. Mounting takes root; the test says so elsewhere.
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync } from 'node:fs'
import { rm, statfs, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually, type ProcessPeer, startMesh } from './process-peer.ts'
import { isConverged } from './topic-contents.ts'

const MiB = 1024 * 1024
const directory = mkdtempSync(join(tmpdir(), 'grapevine-full-'))
const small = join(directory, 'small')
const ballast = join(small, 'ballast')
const whyNot = mount()
let peers: ProcessPeer[] = []

/** Why there is no small disk here. */
function mount(): string | undefined {
  mkdirSync(small)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=96m', 'tmpfs', small], { stdio: 'pipe' })
    return undefined
  } catch (error) {
    return String(error).split('\n', 1)[0]
  }
}

beforeAll(async () => {
  if (whyNot !== undefined) return
  await writeFile(ballast, new Uint8Array(40 * MiB))
  peers = await startMesh(directory, ['oak', 'elm'], (name) => (name === 'oak' ? { data: join(small, 'oak') } : {}))
})

afterAll(async () => {
  for (const peer of peers) await peer[Symbol.asyncDispose]()
  if (whyNot === undefined) execFileSync('umount', [small])
  await rm(directory, { recursive: true, force: true })
})

async function post(peer: ProcessPeer, query: string, body: string): Promise<{ status: number; text: string }> {
  const answer = await fetch(`${peer.http}/v1/topics/orders/records${query}`, { method: 'POST', body })
  return { status: answer.status, text: await answer.text() }
}

/** Of a figure, with its labels as they are written. */
async function figure(peer: ProcessPeer, name: string): Promise<number> {
  const text = await (await fetch(`${peer.http}/metrics`)).text()
  const line = text.split('\n').find((one) => one.startsWith(`${name} `))
  return Number(line?.slice(name.length))
}

const dataSent = 'grapevine_node_sent_bytes_total{stream="data"}'

describe.skipIf(whyNot !== undefined)(
  `a small disk${whyNot === undefined ? '' : `, which cannot be had: ${whyNot}`}`,
  () => {
    test('that fills up is a peer that takes nothing more, serves what it has, and goes on once there is room', async () => {
      const [oak, elm] = peers as [ProcessPeer, ProcessPeer]
      let last = { status: 201, text: '' }
      let accepted = 0
      // A compaction can make room once more: it is over when nothing was accepted for a while.
      let refusedInARow = 0
      await eventually('publishes are refused', async () => {
        last = await post(oak, '', randomBytes(256 * 1024).toString('base64'))
        if (last.status === 201) accepted += 1
        refusedInARow = last.status === 507 ? refusedInARow + 1 : 0
        return refusedInARow === 150
      })
      expect(JSON.parse(last.text)).toMatchObject({ code: 'DISK_FULL', retryable: true, peer: 'oak' })
      expect(accepted).toBeGreaterThan(20)
      const { bavail, bsize } = await statfs(small)
      expect(bavail * bsize).toBeGreaterThan(8 * MiB)
      expect(await figure(oak, 'grapevine_storage_full')).toBe(1)

      const page = await oak.client.read('orders', { from: 'earliest', limit: 5 })
      expect(page.records).toHaveLength(5)
      const elsewhere = await post(elm, '?ack=all&wait=500ms', 'accepted elsewhere')
      expect(elsewhere.status).toBe(202)
      expect(JSON.parse(elsewhere.text)).toMatchObject({ ack: { copies: 1, peers: ['elm'] } })
      const sentBefore = await figure(elm, dataSent)
      for (let i = 0; i < 20; i++) await post(elm, '?ack=all&wait=100ms', 'more elsewhere')
      expect((await figure(elm, dataSent)) - sentBefore).toBe(0)

      await rm(ballast)
      await eventually('publishes are accepted again', async () => (await post(oak, '', 'room again')).status === 201)
      await eventually('both hold the same', () => isConverged(peers, 'orders'))
      expect(await post(oak, '?ack=all', 'for both')).toMatchObject({ status: 201 })
      expect(oak.log).toContain('disk nearly full')
    })
  },
)
