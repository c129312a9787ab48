import type { PublishRequest, PublishResult } from '#gateway/broker'
import type { Epoch, PeerId } from '#protocol/ids'
import { membershipProfiles } from '#protocol/membership/config'
import { SeededRandom } from '#protocol/random'
import { utf8 } from '#protocol/text'
import type { TopicName } from '#protocol/topic-name'
import { idsOfRuns } from '#protocol/wire/socket-frames'
import type { FeedStore } from '#storage/feed-store'
import { MemoryStore } from '#storage/memory-store'
import { type BootOptions, bootPeer } from './boot.ts'
import { PeerBroker } from './broker.ts'
import type { Clock, Transport } from './driver-ports.ts'
import { nodeDigests } from './node-digests.ts'

/** One peer without neighbors for tests of what the gateway asks of it: in memory, with a transport that leads nowhere. */

export const orders = 'orders' as TopicName
const oak = 'oak' as PeerId
const nowhere: Transport = { dial: () => {}, sendControl: () => {}, sendData: () => {}, close: () => {} }
/** Time stands still; nothing here waits for it. */
export const still: Clock = { nowMs: () => 0, wallMs: () => 1_700_000_000_000, after: () => {} }
/** Time that passes when the test says so. */
export class ManualClock implements Clock {
  readonly #timers: { readonly atMs: number; readonly run: () => void }[] = []
  #nowMs = 0

  nowMs(): number {
    return this.#nowMs
  }

  wallMs(): number {
    return still.wallMs() + this.#nowMs
  }

  after(afterMs: number, run: () => void): void {
    this.#timers.push({ atMs: this.#nowMs + afterMs, run })
  }

  advance(ms: number): void {
    const endMs = this.#nowMs + ms
    for (;;) {
      this.#timers.sort((a, b) => a.atMs - b.atMs)
      const next = this.#timers[0]
      if (next === undefined || next.atMs > endMs) break
      this.#timers.shift()
      this.#nowMs = next.atMs
      next.run()
    }
    this.#nowMs = endMs
  }
}

export const self = {
  peerId: oak,
  name: 'oak',
  cluster: 'garden',
  epoch: '',
  http: '',
  listen: [],
  version: '',
  startedAt: '',
  storage: 'memory',
}

export async function boot(
  store: FeedStore = new MemoryStore(nodeDigests),
  epoch = '0000000000000001',
  more: Partial<BootOptions> = {},
) {
  const { clock = still } = more
  const failures: Error[] = []
  const driver = await bootPeer({
    self: oak,
    epoch: epoch as Epoch,
    cluster: 'garden',
    facts: { name: 'oak', addresses: [], http: '', zone: '' },
    seeds: [],
    membership: membershipProfiles.local,
    store,
    transport: nowhere,
    digests: nodeDigests,
    random: new SeededRandom(1),
    onStorageFailed: (error) => failures.push(error),
    ...more,
    clock,
  })
  const broker = new PeerBroker(self, { clock, digests: nodeDigests })
  broker.attach(driver, self, undefined)
  driver.start()
  return { broker, driver, failures }
}

/** To `orders`, acked when it is on disk here, unless said otherwise. */
export const publish = (broker: PeerBroker, values: readonly string[], more: Partial<PublishRequest> = {}) => {
  const records = values.map((value) => ({ value: utf8(value), headers: {} }))
  return withIds(broker.publish({ topic: orders, records, ack: { type: 'local' }, waitMs: 0, ...more }))
}

export async function withIds(published: Promise<PublishResult>): Promise<PublishResult & { readonly ids: string[] }> {
  const result = await published
  return { ...result, ids: idsOfRuns(result.runs) }
}

export async function texts(broker: PeerBroker, from: Parameters<PeerBroker['open']>[1], topic: TopicName = orders) {
  const { records } = await (await broker.open(topic, from)).next(1_000)
  return records.map(({ record }) => Buffer.from(record.value).toString())
}
