// Goal: a publish whose answer was lost is stored once, wherever it is sent again: to its peer after kill -9, to another one,
// through the client library on its own, and on both sides of a split. Method: real peers, and curl's way of retrying.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connect } from '#client/mesh'
import { eventually, type ProcessPeer, sees, startMesh } from './process-peer.ts'
import { isConverged, readAll } from './topic-contents.ts'

const names = ['oak', 'elm', 'ash']
let directory = ''
let peers: ProcessPeer[] = []

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'grapevine-retries-'))
  peers = await startMesh(directory, names, () => ({ flags: ['--lab', '--profile', 'local'] }))
})

afterAll(async () => {
  for (const one of peers) await one[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

const at = (index: number): ProcessPeer => peers[index] as ProcessPeer

async function post(peer: ProcessPeer, topic: string, value: string, headers: Record<string, string>) {
  const answer = await fetch(`${peer.http}/v1/topics/${topic}/records?ack=all&wait=20s`, {
    method: 'POST',
    body: value,
    headers: { 'content-type': 'text/plain', ...headers },
  })
  const { id, code } = (await answer.json()) as { id?: string; code?: string }
  return { status: answer.status, id, code }
}

test('by key, at any peer, before and after kill -9, and never for another record', async () => {
  const headers = { 'idempotency-key': 'crate-7' }
  const first = await post(at(0), 'crates', 'pears', headers)
  expect(first.status).toBe(201)
  expect(await post(at(1), 'crates', 'pears', headers)).toEqual(first)
  await at(0).end('SIGKILL')
  peers[0] = await at(0).restart()
  await eventually('oak is back', () => sees(at(1), names, 'alive'))
  for (const peer of peers) expect(await post(peer, 'crates', 'pears', headers)).toEqual(first)
  expect(await post(at(2), 'crates', 'figs', headers)).toMatchObject({ status: 422, code: 'RETRY_DIFFERS' })
  for (const peer of peers) expect(await readAll(peer, 'crates')).toEqual([`${first.id} pears`])
})

test('the client library asks again by itself when its peer is killed', async () => {
  await using mesh = await connect({ servers: [at(1).http, at(2).http], learnServers: false })
  const values = Array.from({ length: 400 }, (_, i) => `crate ${i}`)
  let done = 0
  const publishes = values.map((value) => mesh.publish('lots', value).then(() => done++))
  await eventually('some are answered', async () => done > 20)
  await at(1).end('SIGKILL')
  await Promise.all(publishes)
  peers[1] = await at(1).restart()
  await eventually('all hold the same', () => isConverged(peers, 'lots'))
  for (const peer of peers) {
    const lines = await readAll(peer, 'lots')
    expect(lines.map((line) => line.replace(/^\S+ /, '')).toSorted()).toEqual(values.toSorted())
  }
})

test('on both sides of a split it is in the log twice, and read once', async () => {
  const headers = { 'producer-id': 'shop', 'producer-seq': '0' }
  await at(0).client.publish('bills', 'before', { ack: 'all', wait: '20s' })
  await at(0).client.lab.drop(['elm', 'ash'])
  const send = (peer: ProcessPeer) =>
    fetch(`${peer.http}/v1/topics/bills/records`, { method: 'POST', body: 'three', headers })
  expect([(await send(at(0))).status, (await send(at(1))).status]).toEqual([201, 201])
  await at(0).client.lab.heal()
  await eventually('all hold the same', () => isConverged(peers, 'bills'))
  const { records } = await at(2).client.topicStatus('bills')
  expect(records).toBe(3)
  for (const peer of peers) {
    expect((await readAll(peer, 'bills')).map((line) => line.replace(/^\S+ /, ''))).toEqual(['before', 'three'])
  }
})
