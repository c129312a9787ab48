// Goal: a named cursor is where a consumer goes on at any peer, also after a split in which both sides stored it, and after
// every peer was killed. Method: three real peers over HTTP; ash is cut off; both sides read on and store; then the heal.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { eventually, type ProcessPeer, sees, startMesh } from './process-peer.ts'

const path = '/v1/topics/orders/cursors/billing'

interface Page {
  readonly records: readonly { readonly value: string }[]
  readonly cursor: string
}

const page = async ({ http }: ProcessPeer, from: string): Promise<Page> =>
  (await (await fetch(`${http}/v1/topics/orders/records?from=${from}`)).json()) as Page

const stored = async ({ http }: ProcessPeer): Promise<string | undefined> => {
  const answer = await fetch(`${http}${path}`)
  if (answer.status === 404) return undefined
  return ((await answer.json()) as { cursor: string }).cursor
}

async function store({ http }: ProcessPeer, cursor: string): Promise<void> {
  const answer = await fetch(`${http}${path}`, { method: 'PUT', body: JSON.stringify({ cursor }) })
  expect([answer.status, answer.headers.get('grapevine-cursor')]).toEqual([200, cursor])
}

const valuesFrom = async (peer: ProcessPeer, from: string) => (await page(peer, from)).records.map(({ value }) => value)

test('a cursor stored by name goes on at any peer, through a split and a restart', async () => {
  await using stack = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'grapevine-cursors-'))
  stack.defer(() => rm(directory, { recursive: true, force: true }))
  const peers = await startMesh(directory, ['oak', 'elm', 'ash'])
  for (const peer of peers) stack.use(peer)
  const [oak, elm, ash] = peers as [ProcessPeer, ProcessPeer, ProcessPeer]
  await oak.client.publish('orders', 'o1', { ack: 'all' })
  await ash.client.publish('orders', 'a1', { ack: 'all' })
  expect(await stored(elm)).toBeUndefined()
  const { cursor } = await page(oak, 'earliest')
  await store(oak, cursor)
  for (const peer of peers) await eventually('it has come', async () => (await stored(peer)) === cursor)
  expect(await valuesFrom(ash, '@billing')).toEqual([])

  await ash.client.lab.drop(['oak', 'elm'])
  for (const peer of [oak, elm]) await peer.client.lab.drop(['ash'])
  await oak.client.publish('orders', 'o2')
  await ash.client.publish('orders', 'a2')
  expect(await valuesFrom(oak, '@billing')).toEqual(['o2'])
  expect(await valuesFrom(ash, '@billing')).toEqual(['a2'])
  await store(oak, (await page(oak, '@billing')).cursor)
  await store(ash, (await page(ash, '@billing')).cursor)

  for (const peer of peers) await peer.client.lab.heal()
  for (const peer of peers) await eventually('all are back', () => sees(peer, ['oak', 'elm', 'ash'], 'alive'))
  await eventually('all read the cursors of both sides as one', async () => {
    const [first, ...others] = await Promise.all(peers.map(stored))
    const isOne = first !== undefined && others.every((other) => other === first)
    return isOne && (await valuesFrom(elm, 'earliest')).length === 4 && (await valuesFrom(elm, '@billing')).length === 2
  })
  // What one side had read comes again: the other had not.
  expect((await valuesFrom(elm, '@billing')).toSorted()).toEqual(['a2', 'o2'])
  const merged = await stored(oak)

  await Promise.all(peers.map((peer) => peer.end('SIGKILL')))
  const again = await Promise.all(peers.map((peer) => peer.restart()))
  for (const peer of again) stack.use(peer)
  for (const peer of again) await eventually('it is there again', async () => (await stored(peer)) === merged)
  const [first] = again as [ProcessPeer]
  expect((await fetch(`${first.http}${path}`, { method: 'DELETE' })).status).toBe(200)
  await eventually('it is gone everywhere', async () => {
    return (await Promise.all(again.map(stored))).every((one) => one === undefined)
  })
})
