// The figures of one peer in memory, without neighbors: that all are documented, that they move, and that they are bounded.
import { readFileSync } from 'node:fs'
import { Registry } from 'prom-client'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { GatewayLoad } from '#gateway/metrics'
import type { AckLevel } from '#protocol/ack-level'
import type { Epoch, PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import type { FeedId } from '#protocol/log/feed'
import { membershipProfiles } from '#protocol/membership/config'
import { SeededRandom } from '#protocol/random'
import { utf8 } from '#protocol/text'
import type { TopicName } from '#protocol/topic-name'
import type { MembershipSnapshot } from '#protocol/membership/snapshot'
import type { HealReport } from '#protocol/partitions/inputs'
import { MemoryStore } from '#storage/memory-store'
import { PrometheusText } from '#test/prometheus-text'
import { bootPeer } from './boot.ts'
import { PeerBroker } from './broker.ts'
import type { PeerDriver } from './driver.ts'
import type { Clock, Transport } from './driver-ports.ts'
import { PeerMetrics } from './metrics.ts'
import { FigureMaker } from './metrics/figure.ts'
import { probeFigures } from './metrics/probe-figures.ts'
import { nodeDigests } from './node-digests.ts'

const oak = 'oak' as PeerId
const nowhere: Transport = { dial: () => {}, sendControl: () => {}, sendData: () => {}, close: () => {} }
/** Time passes only while the disk works: 7 ms for each append. */
let nowMs = 0
let wallMs = 1_700_000_000_000
const diskTime: Clock = { nowMs: () => nowMs, wallMs: () => wallMs, after: () => {} }

class SlowStore extends MemoryStore {
  override append(...args: Parameters<MemoryStore['append']>): Promise<void> {
    nowMs += 7
    return super.append(...args)
  }
}

const self = {
  peerId: oak,
  name: 'oak',
  cluster: 'garden',
  epoch: '',
  http: '',
  listen: [],
  version: '0.1.0',
  startedAt: '',
  storage: 'memory',
}
let load: GatewayLoad = {
  liveReads: { stream: 0, longPoll: 0, webSocket: 0 },
  connections: 0,
  requests: 0,
  arrivingBytes: 0,
  unsentBytes: 0,
}
let metrics: PeerMetrics
let driver: PeerDriver
let broker: PeerBroker

beforeEach(async () => {
  metrics = new PeerMetrics()
  driver = await bootPeer({
    self: oak,
    epoch: '0000000000000001' as Epoch,
    cluster: 'garden',
    facts: { name: 'oak', addresses: [], http: '', zone: '' },
    seeds: [],
    membership: membershipProfiles.local,
    store: new SlowStore(nodeDigests),
    transport: nowhere,
    clock: diskTime,
    digests: nodeDigests,
    random: new SeededRandom(1),
    onStorageFailed: () => {},
    onCommit: metrics.committed,
    onMemberChanged: metrics.memberChanged,
    onDouble: metrics.doubled,
    onPartition: metrics.partition,
  })
  const { published: onPublish, read: onRead } = metrics
  broker = new PeerBroker(self, { clock: diskTime, digests: nodeDigests, onPublish, onRead })
  broker.attach(driver, self, undefined)
  metrics.attach({
    broker,
    driver,
    gateway: { load: () => load },
    clock: diskTime,
    strangers: () => 3,
  })
  driver.start()
})

afterEach(() => metrics.stop())

const scrape = async (): Promise<PrometheusText> => new PrometheusText(await metrics.text())

const publish = (topic: string, texts: readonly string[], ack: AckLevel = { type: 'local' }) =>
  broker.publish({
    topic: topic as TopicName,
    records: texts.map((text) => ({ value: utf8(text), headers: {} })),
    ack,
    waitMs: 0,
  })

test('docs/metrics.md says of every figure what it means, and of no other', async () => {
  const page = readFileSync(new URL('../docs/metrics.md', import.meta.url), 'utf8')
  const documented = [...page.matchAll(/^\| `([a-z_]+)` \| (.*?) \|/gm)].map(([, name = '', says = '']) => [name, says])
  const figures = await scrape()
  const { types } = figures
  expect(documented.map(([name]) => String(name)).toSorted()).toEqual([...types.keys()].toSorted())
  for (const [name = '', says = ''] of documented) {
    const type = /^(counter|histogram)/.exec(says)?.[1] ?? 'gauge'
    expect(`${name} is a ${type}`).toBe(`${name} is a ${types.get(name)}`)
  }
  for (const name of ['grapevine_gateway_live_reads', 'grapevine_replication_anomalies_total']) {
    for (const kind of figures.labelValues(name, 'kind')) expect(page).toContain(`\`${kind}\``)
  }
})

test('names follow the house: a folder, a noun, a unit', async () => {
  for (const [name, type] of (await scrape()).types) {
    expect(name).toMatch(/^(grapevine_(node|gateway|storage|replication|topics|membership)|process|nodejs)_[a-z_]+$/)
    expect(`${name} ${name.endsWith('_total')}`).toBe(`${name} ${type === 'counter'}`)
  }
})

test('a peer that starts has none yet', async () => {
  const starting = new PeerMetrics()
  await expect(starting.text()).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  starting.stop()
})

test('a publish is counted once, with its records and bytes, by level and outcome', async () => {
  await publish('orders', ['ten pears', 'ten apples'])
  const before = await scrape()
  await publish('orders', ['one plum'], { type: 'all' })
  await expect(publish('orders', ['too wide'], { type: 'count', count: 2 })).rejects.toThrow()
  const after = await scrape()
  const name = 'grapevine_node_publishes_total'
  expect(before.sum(name, { level: 'local', outcome: 'reached' })).toBe(1)
  expect(after.sum(name, { level: 'all', outcome: 'reached' })).toBe(1)
  expect(after.sum(name, { level: 'n', outcome: 'refused' })).toBe(1)
  expect(after.sum(name)).toBe(3)
  expect(after.sum('grapevine_node_published_records_total')).toBe(3)
  const moreBytes =
    after.sum('grapevine_node_published_bytes_total') - before.sum('grapevine_node_published_bytes_total')
  expect(moreBytes).toBeGreaterThan('one plum'.length)
  expect(moreBytes).toBeLessThan('one plum'.length + 32)
  expect(after.sum('grapevine_node_publish_seconds_count', { level: 'all' })).toBe(1)
  expect(after.sum('grapevine_node_publish_seconds_sum', { level: 'all' })).toBe(0.007)
  expect(after.sum('grapevine_replication_records', { topic: 'orders' })).toBe(3)
})

test('every group commit is told with its time, its batches and their bytes, and nothing stays pending', async () => {
  await publish('orders', ['ten pears'])
  const before = await scrape()
  await Promise.all(['orders', 'orders', 'orders'].map((topic) => publish(topic, ['one plum'])))
  const after = await scrape()
  const more = (name: string): number => after.sum(name) - before.sum(name)
  // The first goes to disk at once; the two that come meanwhile share a batch.
  expect(more('grapevine_storage_commit_batches_count')).toBe(2)
  expect(more('grapevine_storage_commit_batches_sum')).toBe(2)
  expect(more('grapevine_storage_commit_seconds_sum')).toBeCloseTo(0.014, 9)
  expect(more('grapevine_storage_committed_bytes_total')).toBe(more('grapevine_node_recent_batches_bytes'))
  for (const name of ['pending_batches', 'pending_bytes']) expect(after.sum(`grapevine_storage_${name}`)).toBe(0)
  expect(after.sum('grapevine_replication_waiting_publishes')).toBe(0)
  for (const name of ['publishes', 'publish_bytes']) expect(after.sum(`grapevine_node_pending_${name}`)).toBe(0)
})

test('a publish that waits for the disk is pending, with its bytes', async () => {
  await publish('orders', ['ten pears'])
  const waiting = ['one plum', 'two plums'].map((text) => publish('orders', [text]))
  const text = metrics.text()
  const { unsyncedPublishes, unsyncedBytes, waitingPublishes, commitBatches, commitBytes } = driver.buffers()
  // The first is in a batch on its way to disk, the second waits for the next.
  expect([unsyncedPublishes, waitingPublishes, commitBatches]).toEqual([2, 1, 1])
  expect(unsyncedBytes).toBeGreaterThan('one plumtwo plums'.length)
  expect(commitBytes).toBeGreaterThan('one plum'.length)
  await Promise.all([...waiting, text])
})

test('records that clients read are counted, reads that bring none are not', async () => {
  await publish('orders', ['ten pears', 'ten apples', 'one plum', 'two plums'])
  const reader = await broker.open('orders' as TopicName, { type: 'earliest' })
  for (const limit of [3, 3, 3]) await reader.next(limit)
  expect((await scrape()).sum('grapevine_node_read_records_total')).toBe(4)
})

test('retries are counted, and what is known of producers, up to where it is forgotten', async () => {
  const numbered = (epoch: number) =>
    broker.publish({
      topic: 'orders' as TopicName,
      records: [{ value: utf8('pears'), headers: {} }],
      producer: { type: 'producer', name: 'till', epoch, seq: 0 },
      ack: { type: 'local' },
      waitMs: 0,
    })
  await publish('bills', ['ten pears'])
  await numbered(0)
  await numbered(0)
  const before = await scrape()
  expect(before.sum('grapevine_node_producer_outcomes_total', { kind: 'retried' })).toBe(1)
  expect([before.sum('grapevine_node_producer_spans'), before.sum('grapevine_node_producer_topics')]).toEqual([1, 1])
  expect(before.sum('grapevine_node_producer_horizon_seconds')).toBeNaN()
  for (let epoch = 1; epoch <= limits.producerSpansPerProducerMax; epoch++) await numbered(epoch)
  await expect(numbered(0)).rejects.toMatchObject({ code: 'PRODUCER_FENCED' })
  wallMs += 90_000
  const after = await scrape()
  expect(after.sum('grapevine_node_producer_spans')).toBe(limits.producerSpansPerProducerMax)
  expect(after.sum('grapevine_node_producer_horizon_seconds')).toBe(90)
  expect(after.sum('grapevine_node_producer_outcomes_total', { kind: 'fenced' })).toBe(1)
})

test('damage that nobody can mend is shown as lost', async () => {
  const { runs } = await publish('orders', ['ten pears', 'one plum'])
  const topicId = driver.peer.topicIdOf('orders' as TopicName)
  const [view] = driver.feeds(topicId)
  expect(runs).toMatchObject([{ count: 2 }])
  driver.damageFound(view?.feed as FeedId, { from: 0, to: 2 })
  const figures = await scrape()
  for (const what of ['damaged', 'lost']) expect(figures.sum(`grapevine_replication_${what}_records`)).toBe(2)
  for (const what of ['repairs', 'catch_ups', 'pending_handoffs', 'handoffs_total', 'verifications']) {
    expect(figures.sum(`grapevine_replication_${what}`)).toBe(0)
  }
})

test('of more than 100 topics the first by name have series of their own, the others share one', async () => {
  const topics = Array.from({ length: 103 }, (_, i) => `orders.${String(i).padStart(3, '0')}`)
  for (const topic of topics) await publish(topic, ['ten pears'])
  const figures = await scrape()
  const name = 'grapevine_replication_single_copy_records'
  // What the mesh knows of its topics is one of them, and comes first.
  expect(figures.labelValues(name, 'topic').toSorted()).toEqual(['$other', '$topics', ...topics.slice(0, 99)])
  expect([figures.sum(name, { topic: 'orders.098' }), figures.sum(name, { topic: '$other' })]).toEqual([1, 4])
  expect(figures.sum('grapevine_replication_lag_records', { topic: '$other', member: 'oak' })).toBe(0)
  expect(figures.sum('grapevine_replication_topics')).toBe(104)
})

test('what the gateway tells and holds is shown: requests, problems, live reads', async () => {
  metrics.answered('GET', 200)
  metrics.answered('GET', 'aborted')
  metrics.answered('PROPFIND', 405)
  metrics.refused('OVERLOADED', 'live-reads')
  metrics.cut('unsent')
  const liveReads = { stream: 3, longPoll: 2, webSocket: 1 }
  load = { liveReads, connections: 9, requests: 6, arrivingBytes: 4_096, unsentBytes: 512 }
  const figures = await scrape()
  expect(figures.sum('grapevine_gateway_requests_total', { method: 'GET', status: 'aborted' })).toBe(1)
  expect(figures.sum('grapevine_gateway_requests_total', { method: 'other', status: '405' })).toBe(1)
  expect(figures.sum('grapevine_gateway_problems_total')).toBe(1)
  expect(figures.sum('grapevine_gateway_problems_total', { code: 'OVERLOADED' })).toBe(1)
  expect(figures.sum('grapevine_gateway_live_reads', { kind: 'webSocket' })).toBe(1)
  expect(figures.sum('grapevine_gateway_connections')).toBe(9)
  expect(figures.sum('grapevine_gateway_requests_under_way')).toBe(6)
  expect(figures.sum('grapevine_gateway_arriving_bytes')).toBe(4_096)
  expect(figures.sum('grapevine_gateway_unsent_bytes')).toBe(512)
  expect(figures.sum('grapevine_gateway_refusals_total', { bound: 'live-reads' })).toBe(1)
  expect(figures.sum('grapevine_gateway_refusals_total', { bound: 'unsent' })).toBe(1)
})

test('links, credit and traffic of a neighbor, a bad frame and a failed dial are shown', async () => {
  await publish('orders', ['ten pears'])
  driver.linkUp(1, 'elm' as PeerId)
  driver.controlFrame(1, utf8('not JSON'))
  driver.dialFailed({ type: 'seed', address: 'ash:7400' }, 'connection refused')
  const figures = await scrape()
  expect(figures.sum('grapevine_membership_links', { state: 'up' })).toBe(1)
  expect(figures.sum('grapevine_replication_credit_bytes', { member: 'elm', direction: 'out' })).toBe(2 * 1024 * 1024)
  expect(figures.sum('grapevine_node_received_bytes_total', { stream: 'control' })).toBe('not JSON'.length)
  expect(figures.sum('grapevine_node_sent_bytes_total', { stream: 'control' })).toBeGreaterThan(0)
  expect(figures.sum('grapevine_node_bad_frames_total', { kind: 'notJson' })).toBe(1)
  expect(figures.sum('grapevine_node_dials_failed_total')).toBe(1)
})

test('an event loop that was blocked shows in its delay', async () => {
  const end = performance.now() + 400
  while (performance.now() < end);
  await vi.waitFor(async () => {
    const figures = await scrape()
    const late = (le: string): number => figures.sum('grapevine_node_event_loop_delay_seconds_bucket', { le })
    expect(late('+Inf') - late('0.2')).toBeGreaterThanOrEqual(1)
  })
})

test('a split and its heal are counted once, with what they merged; refutations and double identities, too', async () => {
  const [elm, ash] = ['elm', 'ash'] as PeerId[] as [PeerId, PeerId]
  const reach = { reachable: [oak], known: [oak, elm, ash] }
  metrics.partition({ type: 'partitionChanged', ...reach })
  metrics.partition({ type: 'partitionChanged', ...reach, reachable: [oak, elm] })
  metrics.partition({ type: 'partitionHealed', apartMs: 1_000, back: [ash] })
  const taken = { records: 3, left: 0, feeds: 1 }
  const theirs = [elm, ash].map((peer) => ({ peer, taken }))
  const report = { received: { records: 4, left: 0, feeds: 1 }, theirs, duplicates: 1 }
  metrics.partition({ type: 'sidesMerged', heal: report as unknown as HealReport })
  metrics.memberChanged({ from: 'suspect', to: 'alive' })
  metrics.memberChanged({ from: 'dead', to: 'alive' })
  metrics.doubled()
  const figures = await scrape()
  expect(figures.sum('grapevine_membership_partitions_total')).toBe(1)
  expect(figures.sum('grapevine_membership_heals_total')).toBe(1)
  expect(figures.sum('grapevine_replication_merged_records_total', { direction: 'received' })).toBe(4)
  expect(figures.sum('grapevine_replication_merged_records_total', { direction: 'taken' })).toBe(6)
  expect(figures.sum('grapevine_replication_merged_duplicates_total')).toBe(1)
  expect(figures.sum('grapevine_membership_refutations_total')).toBe(1)
  expect(figures.sum('grapevine_membership_double_identities_total')).toBe(1)
  expect(figures.sum('grapevine_membership_awareness')).toBe(0)
})

test('each round trip of a probe is counted once, however often somebody scrapes', async () => {
  const registry = new Registry()
  const collect = probeFigures(new FigureMaker(registry))
  const trips = (count: number, roundTrips: number) =>
    ({
      counts: { roundTrips, pushPulls: 2, refutations: 0 },
      roundTrips: Array.from({ length: count }, () => ({ rttMs: 5 })),
      self: { awareness: 3 },
      rumors: [{}],
    }) as unknown as MembershipSnapshot
  collect(trips(3, 3))
  collect(trips(3, 3))
  collect(trips(64, 80))
  const text = new PrometheusText(await registry.metrics())
  expect(text.sum('grapevine_membership_probe_seconds_count')).toBe(67)
  expect(text.sum('grapevine_membership_push_pulls_total')).toBe(2)
  expect(text.sum('grapevine_membership_awareness')).toBe(3)
})
