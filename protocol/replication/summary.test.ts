// What two peers tell each other when their link comes back: two machines with the same feeds, joined by what they send.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { PeerId } from '#protocol/ids'
import type { OpenedFeed, ReplicationEffect } from './inputs.ts'
import type { FeedDigest, ReplicationMessage } from './messages.ts'
import { replicationDefaults } from './config.ts'
import { Replication } from './replication.ts'
import { bucketOf, entryOf, SetHash } from './set-hash.ts'
import { ash, digest, elm, epochs, feedOf, hashAt, headAt, messages, Oak, oak, ofType, openedFeed } from './test-oak.ts'
import { feedKeyOf } from '#protocol/log/feed'

type Sent = { readonly from: PeerId; readonly message: ReplicationMessage }

/** Oak and elm, each with the same feeds of writers that are gone; every message is delivered at once, in order. */
class Pair {
  readonly machines = new Map<PeerId, Replication>()
  #link = 0

  constructor(feeds: readonly OpenedFeed[]) {
    for (const self of [oak, elm]) this.restart(self, feeds)
  }

  restart(self: PeerId, feeds: readonly OpenedFeed[]): void {
    const machine = new Replication({ self, epoch: epochs.second, feeds, config: replicationDefaults })
    const members = [oak, elm].map((peer) => ({ peer, zone: '' }))
    machine.handle({ type: 'registryChanged', version: '2', merged: true, members }, 0)
    this.machines.set(self, machine)
  }

  /** A new link, and all that is said over it until both are silent. */
  reconnect(): readonly Sent[] {
    const link = ++this.#link
    for (const [peer, machine] of this.machines) machine.handle({ type: 'linkDown', peer: this.#other(peer) }, 0)
    return this.#settle((peer, machine) => machine.handle({ type: 'linkUp', peer: this.#other(peer), link }, 0))
  }

  store(peer: PeerId, feed: ReturnType<typeof feedOf>, nextOffset: number): readonly Sent[] {
    const head = headAt(nextOffset)
    const machine = this.machines.get(peer) as Replication
    machine.local.append(feed, head, undefined)
    return this.#settle((other) => {
      if (other !== peer) return []
      const effects = machine.handle({ type: 'rangesStored', runs: [{ feed, head }] }, 0)
      return [...effects, ...machine.handle({ type: 'timerFired', timer: { type: 'digestDue' } }, 0)]
    })
  }

  sweep(nowMs: number): readonly Sent[] {
    return this.#settle((_, machine) => machine.handle({ type: 'timerFired', timer: { type: 'sweep' } }, nowMs))
  }

  isEven(): boolean {
    return [...this.machines].every(
      ([peer, { neighbors }]) => neighbors.get(this.#other(peer))?.link?.account === 'complete',
    )
  }

  #settle(begin: (peer: PeerId, machine: Replication) => readonly ReplicationEffect[]): readonly Sent[] {
    const sent: Sent[] = []
    const take = (from: PeerId, effects: readonly ReplicationEffect[]) => {
      for (const effect of effects) if (effect.type === 'send') sent.push({ from, message: effect.message })
    }
    for (const [peer, machine] of this.machines) take(peer, begin(peer, machine))
    for (let i = 0; i < sent.length; i++) {
      const { from, message } = sent[i] as Sent
      const to = this.#other(from)
      take(to, (this.machines.get(to) as Replication).handle({ type: 'messageReceived', from, message }, 0))
    }
    return sent
  }

  #other(peer: PeerId): PeerId {
    return peer === oak ? elm : oak
  }
}

const count = 10_000
const writers = Array.from({ length: count }, (_, i) => `w${i}` as PeerId)
const feeds = writers.map((writer) => openedFeed(feedOf(writer), 5))
const bytesOf = (sent: readonly Sent[]): number =>
  sent.reduce((sum, { message }) => sum + JSON.stringify(message).length, 0)
const listed = (sent: readonly Sent[]): number =>
  sent.reduce((sum, { message }) => sum + (message.type === 'digest' ? message.feeds.length : 0), 0)

test('who asks whether all is told is told what was to come later, and then that this was all', () => {
  const peer = new Oak([openedFeed(feedOf(elm), 3)])
  peer.link(ash, 2, [digest(feedOf(elm), 1)])
  peer.write(0, true)
  const sent = ofType(peer.hear(ash, { type: 'flush', ref: 7 }), 'send').map(({ message: { type } }) => type)
  expect(sent).toEqual(['digest', 'flushed'])
  expect(messages(peer.hear(ash, { type: 'flush', ref: 8 }), 'flushed')).toMatchObject([{ message: { ref: 8 } }])
})

test('two strangers with 10,000 feeds each list them once; when they meet again, nothing is listed', () => {
  const pair = new Pair(feeds)
  expect(listed(pair.reconnect())).toBe(2 * count)
  expect(pair.isEven()).toBe(true)
  const again = pair.reconnect()
  expect(again.map(({ message }) => message.type)).toEqual(['summary', 'summary'])
  expect(bytesOf(again)).toBeLessThan(200)
  expect(pair.isEven()).toBe(true)
})

test('of one feed that has moved while the link was down, one bucket is listed', () => {
  const pair = new Pair(feeds)
  pair.reconnect()
  pair.machines.get(oak)?.handle({ type: 'linkDown', peer: elm }, 0)
  pair.store(oak, feedOf(writers[0] as PeerId), 6)
  const again = pair.reconnect()
  const listings = again.flatMap(({ message }) => (message.type === 'digest' ? [message] : []))
  expect(listings.map(({ listing }) => listing?.replaced)).toEqual([
    [bucketOf(feedKeyOf(feedOf(writers[0] as PeerId)))],
  ])
  expect(listed(again)).toBeLessThan((2 * count) / 256)
  expect(listed(again)).toBeGreaterThan(0)
  expect(pair.isEven()).toBe(true)
})

test('of a peer whose disk was wiped, the other forgets everything; what went back is told as it is', () => {
  const pair = new Pair(feeds)
  pair.reconnect()
  pair.restart(elm, [])
  pair.reconnect()
  expect(pair.machines.get(oak)?.neighbors.get(elm)?.heads.size).toBe(0)
  const [first, ...others] = feeds as [OpenedFeed, ...OpenedFeed[]]
  pair.restart(elm, [{ ...first, head: headAt(3) }, ...others])
  pair.reconnect()
  const heads = pair.machines.get(oak)?.neighbors.get(elm)?.heads
  expect(heads?.size).toBe(count)
  expect(heads?.get(feedKeyOf(first.feed))?.nextOffset).toBe(3)
})

test('once a minute a neighbor with nothing to hear is told one hash, which it has', () => {
  const pair = new Pair(feeds)
  pair.reconnect()
  pair.store(oak, feedOf(writers[0] as PeerId), 6)
  expect(pair.sweep(59_000)).toEqual([])
  const said = pair.sweep(60_000).map(({ message }) => message.type)
  expect(said.filter((type) => type !== 'want')).toEqual(['summary', 'summary'])
  expect(pair.sweep(61_000)).toEqual([])
})

test('a set hash forgets the order, and the past: what was added and taken out again leaves no trace', () => {
  const entry = fc.record({ writer: fc.nat(50), end: fc.nat(9), floor: fc.nat(9) })
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 60 }), fc.array(entry, { maxLength: 60 }), (kept, dropped) => {
      const entriesOf = (all: typeof kept) =>
        all.map(({ writer, end, floor }) => entryOf({ ...digest(feedOf(`w${writer}` as PeerId), end), floor }))
      const [one, other] = [new SetHash(), new SetHash()]
      for (const each of entriesOf(kept)) one.add(each)
      for (const each of entriesOf(dropped)) other.add(each)
      for (const each of entriesOf(kept.toReversed())) other.add(each)
      for (const each of entriesOf(dropped)) other.remove(each)
      expect(other.root()).toBe(one.root())
      expect(one.differing(other.buckets())).toEqual([])
    }),
  )
})

test.each<[string, Partial<FeedDigest>]>([
  ['floor', { floor: 1 }],
  ['floorHash', { floorHash: hashAt(1) }],
  ['keptFrom', { keptFrom: 1 }],
  ['nextOffset', { nextOffset: 6 }],
  ['hash', { hash: hashAt(6) }],
  ['holes', { holes: [{ from: 1, to: 2 }] }],
  ['rooted', { rooted: true }],
])('a digest with another %s is another entry, of the same bucket', (_, change) => {
  const plain = digest(feedOf(oak), 5)
  const [before, after] = [new SetHash(), new SetHash()]
  before.add(entryOf(plain))
  after.add(entryOf({ ...plain, ...change }))
  expect(after.root()).not.toBe(before.root())
  expect(after.differing(before.buckets())).toEqual([bucketOf(feedKeyOf(feedOf(oak)))])
})
