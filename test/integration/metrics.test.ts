// Goal: an operator sees in /metrics what a split does, while it does it. Method: three real peers on loopback, cut by lab
// mode; what oak says before, during and after.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { PrometheusText } from '#test/prometheus-text'
import { eventually, type ProcessPeer, sees, startMesh } from './process-peer.ts'

let directory = ''
let peers: ProcessPeer[] = []

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'grapevine-metrics-'))
  peers = await startMesh(directory, ['oak', 'elm', 'ash'])
})

afterEach(async () => {
  for (const peer of peers) await peer[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

async function scrape(peer: ProcessPeer): Promise<PrometheusText> {
  const answer = await fetch(`${peer.http}/metrics`)
  expect(answer.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
  return new PrometheusText(await answer.text())
}

/** The figures of a peer that an operator watches during a split, of one topic. */
async function situation(peer: ProcessPeer) {
  const figures = await scrape(peer)
  const of = (name: string, labels: Readonly<Record<string, string>> = {}) => figures.sum(`grapevine_${name}`, labels)
  return {
    dead: of('membership_members', { state: 'dead' }),
    islands: of('membership_islands'),
    elmMisses: of('replication_lag_records', { topic: 'orders', member: 'elm' }),
    shortOfCopies: of('replication_underreplicated_records', { topic: 'orders' }),
    atOneOnly: of('replication_single_copy_records', { topic: 'orders' }),
  }
}

test('publishes, copies, a split and its heal move the figures of the peer that they happen to', async () => {
  const [oak, elm, ash] = peers as [ProcessPeer, ProcessPeer, ProcessPeer]
  await oak.client.publish('orders', 'ten pears', { ack: 'all' })
  const atOak = await scrape(oak)
  expect(atOak.sum('grapevine_node_publishes_total', { level: 'all', outcome: 'reached' })).toBe(1)
  expect(atOak.sum('grapevine_storage_commit_seconds_count')).toBeGreaterThan(0)
  expect(atOak.sum('grapevine_membership_links', { state: 'up' })).toBe(2)
  expect(atOak.labelValues('grapevine_replication_credit_bytes', 'member').toSorted()).toEqual(['ash', 'elm'])
  expect(atOak.sum('grapevine_node_sent_bytes_total', { stream: 'data' })).toBeGreaterThan(0)
  const atElm = await scrape(elm)
  expect(atElm.sum('grapevine_node_publishes_total')).toBe(0)
  expect(atElm.sum('grapevine_node_received_bytes_total', { stream: 'data' })).toBeGreaterThan(0)
  expect(atElm.sum('grapevine_replication_records', { topic: 'orders' })).toBe(1)
  const calm = { dead: 0, islands: 0, elmMisses: 0, shortOfCopies: 0, atOneOnly: 0 }
  expect(await situation(oak)).toEqual(calm)

  await oak.client.lab.drop(['elm', 'ash'])
  for (const peer of [elm, ash]) await peer.client.lab.drop(['oak'])
  await oak.client.publish('orders', 'ten apples')
  await oak.client.publish('orders', 'one plum', { ack: 'majority', wait: '100ms' })
  await eventually('oak believes the others dead', () => sees(oak, ['elm', 'ash'], 'dead'))
  expect(await situation(oak)).toEqual({ dead: 2, islands: 1, elmMisses: 2, shortOfCopies: 2, atOneOnly: 2 })
  const cut = await scrape(oak)
  expect(cut.sum('grapevine_node_publishes_total', { level: 'majority', outcome: 'unreached' })).toBe(1)
  expect(cut.sum('grapevine_membership_changes_total', { to: 'dead' })).toBe(2)

  for (const peer of peers) await peer.client.lab.heal()
  await eventually('nothing is missing any more', async () => {
    const now = await situation(oak)
    return JSON.stringify(now) === JSON.stringify(calm)
  })
  const whole = await scrape(oak)
  expect(whole.sum('grapevine_membership_members', { state: 'alive' })).toBe(3)
  expect(whole.sum('grapevine_membership_partitions_total')).toBe(1)
  expect(whole.sum('grapevine_membership_push_pulls_total')).toBeGreaterThan(1)
  expect(whole.sum('grapevine_node_dials_total')).toBeGreaterThan(1)
  // On a fast machine all of this is over before a probe is due.
  await eventually('a probe was answered, and what the others had said was refuted', async () => {
    const figures = await scrape(oak)
    const names = ['grapevine_membership_probe_seconds_count', 'grapevine_membership_self_refutations_total']
    return names.every((name) => figures.sum(name) > 0)
  })
  await eventually('what was merged is counted', async () => {
    const figures = await scrape(oak)
    const taken = figures.sum('grapevine_replication_merged_records_total', { direction: 'taken' })
    return figures.sum('grapevine_membership_heals_total') === 1 && taken === 4
  })
})
