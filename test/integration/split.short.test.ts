// Goal: the promise of the README in one short run with real processes: cut the mesh, publish on both sides, heal it, and
// every peer serves the same bytes. Method: three peers on loopback, cut by lab mode (silence, sockets stay open).
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { eventually, type ProcessPeer, sees, startMesh } from './process-peer.ts'
import { isConverged, readAll } from './topic-contents.ts'

let directory = ''
let peers: ProcessPeer[] = []

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'grapevine-split-'))
  peers = await startMesh(directory, ['oak', 'elm', 'ash'])
})

afterEach(async () => {
  for (const peer of peers) await peer[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

test('both sides of a split go on, and after the heal every peer serves the same records', async () => {
  const [oak, elm, ash] = peers as [ProcessPeer, ProcessPeer, ProcessPeer]
  expect(await oak.client.publish('orders', 'before', { ack: 'all' })).toMatchObject({ reached: true, copies: 3 })

  await oak.client.lab.drop(['elm', 'ash'])
  await elm.client.lab.drop(['oak'])
  await ash.client.lab.drop(['oak'])
  expect(await oak.client.publish('orders', 'alone')).toMatchObject({ reached: true, peers: ['oak'] })
  const wide = await elm.client.publish('orders', 'together', { ack: 'all', wait: '300ms' })
  expect(wide).toMatchObject({ reached: false, copies: 2, peers: ['elm', 'ash'] })
  expect(await elm.client.publish('orders', 'two of three', { ack: 'majority' })).toMatchObject({ reached: true })
  await eventually('the sides believe each other dead', async () => {
    return (await sees(oak, ['elm', 'ash'], 'dead')) && (await sees(elm, ['oak'], 'dead')) && sees(ash, ['oak'], 'dead')
  })
  expect((await readAll(oak, 'orders')).map((line) => line.split(' ')[1])).toEqual(['before', 'alone'])

  for (const peer of peers) await peer.client.lab.heal()
  await eventually('all peers hold the same', () => isConverged(peers, 'orders'))
  await eventually('all are alive again', async () => {
    for (const peer of peers) if (!(await sees(peer, ['oak', 'elm', 'ash'], 'alive'))) return false
    return true
  })
  const served = await Promise.all(peers.map((peer) => readAll(peer, 'orders')))
  expect(served.map((lines) => lines.length)).toEqual([4, 4, 4])
  expect(new Set(served.map((lines) => lines.toSorted().join('\n'))).size).toBe(1)
})

test('a signal makes a peer leave: exit 0, and the others know that it left', async () => {
  const [oak, elm, ash] = peers as [ProcessPeer, ProcessPeer, ProcessPeer]
  expect(await ash.end('SIGTERM')).toBe(0)
  await eventually('oak and elm know that ash left', async () => {
    return (await sees(oak, ['ash'], 'left')) && sees(elm, ['ash'], 'left')
  })
})
