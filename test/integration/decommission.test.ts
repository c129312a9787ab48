// Goal: peers go, and nothing acked goes with them. Four real processes: elm is decommissioned under load, through a split
// and a restart of its own, then killed, and its disk removed; fir is forgotten with records that only it has, and brings
// them when it comes back.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { connect } from '#client/mesh'
import type { LeavingView } from '#protocol/views'
import { eventually, type ProcessPeer, sees, startMesh } from './process-peer.ts'
import { isConverged, readAll, verify } from './topic-contents.ts'

const names = ['oak', 'elm', 'ash', 'fir']
let directory = ''
let peers: ProcessPeer[] = []
const peer = (name: string) => peers.find((one) => one.name === name) as ProcessPeer
const without = (name: string) => peers.filter((one) => one.name !== name)

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'grapevine-decommission-'))
  peers = await startMesh(directory, names)
})

afterEach(async () => {
  for (const one of peers) await one[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

async function restart(name: string): Promise<void> {
  const again = await peer(name).restart()
  peers = peers.map((one) => (one.name === name ? again : one))
}

const leavingAt = async (name: string): Promise<LeavingView | undefined> =>
  (await peer(name).client.replication()).leaving

/** Who is forgotten, as a peer sees it. */
const forgottenAt = async (at: ProcessPeer): Promise<string[]> => (await at.client.forgotten()).map(({ name }) => name)

const valuesAt = async (at: ProcessPeer): Promise<Set<string>> =>
  new Set((await readAll(at, 'orders')).map((line) => line.split(' ')[1] ?? ''))

test('a peer is decommissioned under load, and leaves nothing behind that others lack', async () => {
  // A client that prefers elm, and goes on elsewhere.
  const servers = [peer('elm'), peer('oak'), peer('ash')].map(({ http }) => http)
  await using client = await connect({ servers, learnServers: false })
  const acked: string[] = []
  const load = { on: true }
  const publishing = (async () => {
    for (let i = 0; load.on; i++) {
      await client.publish('orders', `r${i}`)
      acked.push(`r${i}`)
    }
  })()
  await eventually('elm has something to hand over', () => Promise.resolve(acked.length > 200))

  await peer('fir').client.lab.drop(['oak', 'elm', 'ash'])
  expect(await peer('ash').client.decommission('elm')).toMatchObject({ name: 'elm', status: 'leaving' })
  await eventually('elm waits for fir, which is cut off, and for nobody else', async () => {
    const leaving = await leavingAt('elm')
    return leaving?.feeds !== 0 && leaving?.waitsFor.join() === 'fir'
  })
  expect(await fetch(`${peer('elm').http}/readyz`).then((answer) => answer.json())).toMatchObject({
    code: 'DECOMMISSIONED',
  })
  await expect(peer('elm').client.publish('orders', 'late')).rejects.toMatchObject({ code: 'DECOMMISSIONED' })
  expect((await valuesAt(peer('elm'))).size).toBeGreaterThan(200)

  await peer('elm').end('SIGKILL')
  await restart('elm')
  await eventually('elm goes on after its restart', async () => (await leavingAt('elm'))?.status === 'leaving')
  await peer('fir').client.lab.heal()
  await eventually('elm is forgotten everywhere', async () => {
    const seen = await Promise.all(peers.map((one) => forgottenAt(one)))
    const own = await leavingAt('elm')
    return own?.status === 'forgotten' && seen.every((some, i) => peers[i]?.name === 'elm' || some.join() === 'elm')
  })
  await peer('elm').end('SIGKILL')
  await rm(`${directory}/elm`, { recursive: true })
  load.on = false
  await publishing

  peers = without('elm')
  await eventually('the others hold the same', () => isConverged(peers, 'orders'))
  for (const one of peers) {
    const held = await valuesAt(one)
    expect(acked.filter((value) => !held.has(value))).toEqual([])
  }
  expect(await verify(peer('oak'), 'orders')).toBe(0)
  expect(await peer('oak').client.publish('orders', 'on', { ack: 'all', wait: '10s' })).toMatchObject({ copies: 3 })
})

test('a forgotten peer that comes back is drained, served nothing and told so; admitted, it belongs again', async () => {
  const others = ['oak', 'elm', 'ash']
  await peer('oak').client.publish('orders', 'before', { ack: 'all' })
  await peer('fir').client.lab.drop(others)
  await peer('fir').client.publish('orders', 'lonely')
  await expect(peer('oak').client.forget('fir')).rejects.toMatchObject({ code: 'MEMBER_ALIVE' })
  await peer('fir').end('SIGKILL')
  await eventually('fir is gone', () => sees(peer('oak'), ['fir'], 'dead'))
  expect(await peer('oak').client.forget('fir')).toMatchObject({ name: 'fir', status: 'forgotten' })
  await eventually('everybody has forgotten it', async () => {
    const seen = await Promise.all(without('fir').map((one) => forgottenAt(one)))
    return seen.every((some) => some.join() === 'fir')
  })
  const alone = await peer('oak').client.publish('orders', 'without fir', { ack: 'all', wait: '10s' })
  expect([alone.reached, alone.peers.toSorted()]).toEqual([true, others.toSorted()])

  await restart('fir')
  await eventually('what only fir had is everywhere', async () => {
    const held = await Promise.all(without('fir').map((one) => valuesAt(one)))
    return held.every((values) => values.has('lonely'))
  })
  await eventually('fir knows', async () => (await leavingAt('fir'))?.status === 'forgotten')
  await eventually('fir has nothing left that others lack', async () => (await leavingAt('fir'))?.feeds === 0)
  const ready = await fetch(`${peer('fir').http}/readyz`)
  expect([ready.status, await ready.json()]).toMatchObject([503, { code: 'FORGOTTEN' }])
  await expect(peer('fir').client.publish('orders', 'late')).rejects.toMatchObject({ code: 'FORGOTTEN' })

  await peer('elm').client.admit('fir')
  await eventually('fir belongs again', async () => (await leavingAt('fir')) === undefined)
  await eventually('all see all alive', async () => {
    for (const one of peers) if (!(await sees(one, names, 'alive'))) return false
    return true
  })
  await peer('fir').client.publish('orders', 'back', { ack: 'all', wait: '10s' })
  await eventually('all serve the same', async () => {
    const held = await Promise.all(peers.map((one) => valuesAt(one)))
    return held.every((values) => values.size === 4)
  })
})
