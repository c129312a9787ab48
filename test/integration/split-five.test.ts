// Goal: five processes, {oak, elm} | {ash, fir, yew}, for longer than every suspicion timeout, 1,000 records on each side:
// all accepted, readers see their own side live, levels that cannot be reached are told with who has a copy, gossip shows
// who suspects whom and why; after the heal all peers serve all, and `grapevine verify` says so.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually, type ProcessPeer, sees, startMesh } from './process-peer.ts'
import { follow, isConverged, offsetsOf, readAll, verify } from './topic-contents.ts'

const left = ['oak', 'elm']
const right = ['ash', 'fir', 'yew']
const perSide = 1_000

let directory = ''
let peers: ProcessPeer[] = []
const peer = (name: string) => peers.find((one) => one.name === name) as ProcessPeer

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'grapevine-five-'))
  peers = await startMesh(directory, [...left, ...right])
})

afterAll(async () => {
  for (const one of peers) await one[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

async function cut(): Promise<void> {
  for (const name of left) await peer(name).client.lab.drop(right)
  for (const name of right) await peer(name).client.lab.drop(left)
}

/** Publishes one by one, alternating over the side's peers; every one must be accepted. */
async function publishSide(names: readonly string[], label: string): Promise<void> {
  for (let i = 0; i < perSide; i++) {
    const at = peer(names[i % names.length] as string)
    const { reached } = await at.client.publish('orders', `${label}-${i}`)
    if (!reached) throw new Error(`${at.name} did not accept ${label}-${i}`)
  }
}

test('a split of five, longer than every suspicion timeout, and its heal', async () => {
  await peer('oak').client.createTopic('orders', { replicas: 5 })
  expect(await peer('oak').client.publish('orders', 'start', { ack: 'all' })).toMatchObject({ copies: 5 })
  await cut()
  const stop = AbortSignal.timeout(100_000)
  const readers = [
    follow(peer('elm'), 'orders', perSide, (text) => text.startsWith('left'), stop),
    follow(peer('yew'), 'orders', perSide, (text) => text.startsWith('right'), stop),
  ]
  await Promise.all([publishSide(left, 'left'), publishSide(right, 'right')])
  const live = await Promise.all(readers)
  expect(live.map((seen) => new Set(seen).size)).toEqual([perSide, perSide])

  const wide = await peer('ash').client.publish('orders', 'wide', { ack: 'all', wait: '300ms' })
  expect(wide.reached).toBe(false)
  expect(wide.peers.toSorted()).toEqual(right)
  expect(await verify(peer('oak'), 'orders')).toBe(4)

  await eventually('both sides believe the other dead', async () => {
    for (const name of left) if (!(await sees(peer(name), right, 'dead'))) return false
    for (const name of right) if (!(await sees(peer(name), left, 'dead'))) return false
    return true
  })
  const { events } = await peer('oak').client.gossip()
  for (const name of right) {
    const changes = events.filter((event) => event.name === name).map(({ to, reason }) => ({ to, reason }))
    expect(changes).toContainEqual({ to: 'suspect', reason: expect.stringMatching(/no answer|suspect|link/) })
    expect(changes).toContainEqual({ to: 'dead', reason: expect.stringMatching(/not refuted in/) })
  }

  for (const one of peers) await one.client.lab.heal()
  const healedAt = performance.now()
  await eventually('all five hold the same', () => isConverged(peers, 'orders'))
  expect(performance.now() - healedAt).toBeLessThan(30_000)
  await eventually('all are alive again', async () => {
    for (const one of peers) if (!(await sees(one, [...left, ...right], 'alive'))) return false
    return true
  })
  const served = await Promise.all(peers.map((one) => readAll(one, 'orders')))
  expect(served.map((lines) => lines.length)).toEqual(peers.map(() => 2 * perSide + 2))
  expect(new Set(served.map((lines) => lines.toSorted().join('\n'))).size).toBe(1)
  for (const lines of served) {
    for (const { peerId } of peers) expect(offsetsOf(lines, peerId)).toEqual(offsetsOf(lines, peerId).map((_, i) => i))
  }
  expect(await verify(peer('oak'), 'orders')).toBe(0)
})
