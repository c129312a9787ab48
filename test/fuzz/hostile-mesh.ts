import type { Epoch, Hash, PeerId, TopicId } from '#protocol/ids'
import { batchHash } from '#protocol/log/batch'
import type { FeedId } from '#protocol/log/feed'
import type { MemberFacts, MemberUpdate } from '#protocol/membership/messages'
import type { FeedDigest } from '#protocol/replication/messages'
import { encodeControl, type ControlMessage } from '#protocol/wire/control-frame'
import { encodeDataHeader } from '#protocol/wire/data-frame'
import type { Dice } from '#test/sim/dice'
import { nodeDigests } from '#node/node-digests'
import { SampleFeed } from '#storage/sample-feed'
import { concat } from './bytes.ts'

export const cluster = 'grove'

/** A feed as its writer could send it, with all of its batches. */
interface KnownFeed {
  readonly sample: SampleFeed
  readonly batches: { readonly bytes: Uint8Array; readonly from: number; readonly end: number; readonly hash: Hash }[]
}

const batchesPerFeedMax = 60
const names = ['elm', 'ash', 'fir', 'fig', 'yew', 'bay'] as const
const topics = ['orders', 'orders.eu', 'invoices', 'a', 'b.c.d'] as const

/**
 * Peers that have been let in and now say anything: well-formed messages with numbers, names and orders of events that
 * no honest peer would choose, and real batches at the wrong time. What they say is remembered, so that parts fit.
 */
export class HostileMesh {
  readonly links: readonly PeerId[] = names as unknown as readonly PeerId[]
  readonly #dice: Dice
  readonly #self: { readonly peer: PeerId; readonly epoch: Epoch }
  /** Names of members that nobody has met: few as a rule, since each makes all that follows slower. */
  readonly #strangers: number
  readonly #feeds: KnownFeed[] = []
  /** Hashes of all batches. */
  readonly #made = new Set<Hash>()
  /** What was asked of these peers: refs of wants and of pings. */
  readonly #asked: Extract<ControlMessage, { type: 'want' | 'ping' | 'pingRequest' }>[] = []

  constructor(dice: Dice, self: { readonly peer: PeerId; readonly epoch: Epoch }) {
    this.#dice = dice
    this.#self = self
    this.#strangers = dice.pick([1, 100, 300])
    for (const topic of topics) {
      for (const writer of names) this.#addFeed(topic, writer, '00000000000000aa')
      this.#addFeed(topic, self.peer, self.epoch)
      this.#addFeed(topic, self.peer, '00000000000000bb')
      // The same feed with other contents, which no writer can have made.
      this.#addFeed(topic, 'elm', '00000000000000aa')
    }
  }

  /** A message of the peer that is tested: answers refer to it. */
  heard(message: ControlMessage): void {
    if (message.type !== 'want' && message.type !== 'ping' && message.type !== 'pingRequest') return
    this.#asked.push(message)
    if (this.#asked.length > 64) this.#asked.shift()
  }

  /** Whether one of the writers has made this batch. */
  knows(batch: Uint8Array): boolean {
    return this.#made.has(batchHash(batch, nodeDigests))
  }

  control(): Uint8Array {
    return encodeControl(this.#message())
  }

  /** A frame with one to eight batches of a feed: as they follow each other, or not. */
  data(): Uint8Array {
    const dice = this.#dice
    const known = dice.pick(this.#feeds)
    this.#extend(known)
    const at = dice.whole(0, known.batches.length - 1)
    const batches = known.batches.slice(at, at + dice.whole(1, 8)).map(({ bytes }) => bytes)
    if (dice.chance(0.05)) batches.reverse()
    const feed = dice.chance(0.95) ? known.sample.id : this.#feedId()
    return concat(encodeDataHeader({ ref: this.#ref(), feed }), ...batches)
  }

  #addFeed(topic: string, writer: string, epoch: string): void {
    const sample = new SampleFeed({ topic, writer, epoch, digests: nodeDigests })
    const { bytes, head } = sample.open()
    this.#made.add(head.hash)
    this.#feeds.push({ sample, batches: [{ bytes, from: -1, end: head.nextOffset, hash: head.hash }] })
  }

  #extend({ sample, batches }: KnownFeed): void {
    if (batches.length >= batchesPerFeedMax || this.#dice.chance(0.7)) return
    const from = sample.head.nextOffset
    const values = Array.from({ length: this.#dice.whole(1, 3) }, () => 'x'.repeat(this.#dice.magnitude(1, 2_000)))
    const { bytes, head } = sample.batch(...values)
    this.#made.add(head.hash)
    batches.push({ bytes, from, end: head.nextOffset, hash: head.hash })
  }

  #message(): ControlMessage {
    const dice = this.#dice
    const type = dice.pick(types)
    switch (type) {
      case 'ping':
      case 'ack':
      case 'nack':
        return { type, ref: this.#ref(), updates: this.#updates(4) }
      case 'pingRequest':
        return { type, ref: this.#ref(), target: this.#peer(), updates: this.#updates(4) }
      case 'gossip':
        return { type, updates: this.#updates(32) }
      case 'pushPull': {
        const standing = dice.pick(['seeking', 'founding', 'merged'] as const)
        return { type, members: this.#updates(64), standing, reply: dice.chance(0.5), more: dice.chance(0.3) }
      }
      case 'pushPullDigest': {
        const standing = dice.pick(['seeking', 'founding', 'merged'] as const)
        const buckets = this.#hex(64 * dice.whole(1, 16))
        return { type, buckets, standing, reply: dice.chance(0.5) }
      }
      case 'digest': {
        const feeds = Array.from({ length: dice.magnitude(1, 40) }, () => this.#digest())
        if (dice.chance(0.6)) return { type, feeds }
        if (dice.chance(0.3)) return { type, feeds, gone: [this.#feedId(), this.#feedId()] }
        const replaced = Array.from({ length: dice.magnitude(1, 256) }, () => dice.whole(0, 255))
        return { type, feeds, listing: { replaced, more: dice.chance(0.3) } }
      }
      case 'summary': {
        const epoch = dice.chance(0.8) ? ('00000000000000aa' as Epoch) : this.#epoch()
        return { type, epoch, root: dice.chance(0.3) ? '0'.repeat(16) : `${this.#epoch()}` }
      }
      case 'summaryDiffers':
        return { type, buckets: Array.from({ length: 256 }, () => this.#epoch()).join('') }
      case 'pushPullMore':
      case 'digestMore':
      case 'followMore':
        return { type }
      case 'disk':
        return { type, full: dice.chance(0.5) }
      case 'want': {
        const position = dice.chance(0.3) ? -1 : this.#count()
        return { type, ref: dice.whole(1, 0xffff_ffff), feed: this.#feedId(), position, bytesMax: this.#count() }
      }
      case 'follow':
        return { type, topics: this.#topicIds(), on: dice.chance(0.7) }
      case 'followed':
        return { type, topics: this.#topicIds(), more: dice.chance(0.3) }
      case 'wantMissing':
      case 'flush':
      case 'flushed':
        return { type, ref: Math.max(1, this.#ref()) }
      case 'handoff': {
        const { feed, nextOffset, hash } = this.#digest()
        return { type, ref: this.#ref(), feed, nextOffset, hash }
      }
      case 'handoffConfirmed':
        return { type, ref: this.#ref() }
      case 'clock':
        return { type, wallMs: this.#count() }
      case 'credit':
        return { type, bytes: this.#count() }
    }
  }

  #updates(most: number): MemberUpdate[] {
    return Array.from({ length: this.#dice.whole(0, most) }, () => this.#update())
  }

  #update(): MemberUpdate {
    const dice = this.#dice
    const state = dice.pick(['alive', 'suspect', 'dead', 'left'] as const)
    const says = { peer: this.#peer(), state, incarnation: this.#count(), by: this.#peer(), reason: dice.pick(texts) }
    return dice.chance(0.6) ? { ...says, facts: this.#facts() } : says
  }

  #facts(): MemberFacts {
    const dice = this.#dice
    const addresses = Array.from(
      { length: dice.whole(0, 8) },
      () => `10.0.0.${dice.whole(0, 255)}:${dice.whole(1, 65_535)}`,
    )
    return {
      name: dice.pick(texts).slice(0, 16),
      addresses,
      http: dice.pick(['', 'http://elm:8400']),
      zone: '',
      counter: this.#count(),
    }
  }

  #digest(): FeedDigest {
    const dice = this.#dice
    const { sample, batches } = dice.pick(this.#feeds)
    const { end, hash } = dice.pick(batches)
    if (dice.chance(0.6)) return { feed: sample.id, floor: 0, keptFrom: 0, nextOffset: end, hash }
    const numbers = { floor: this.#count(), keptFrom: this.#count(), nextOffset: this.#count() }
    return { feed: this.#feedId(), ...numbers, hash: this.#hex(32) as Hash }
  }

  #feedId(): FeedId {
    const { id } = this.#dice.pick(this.#feeds).sample
    if (this.#dice.chance(0.9)) return id
    return { topicId: this.#hex(16) as TopicId, writer: this.#peer(), epoch: this.#epoch() }
  }

  #topicIds(): TopicId[] {
    return Array.from({ length: this.#dice.magnitude(1, 256) }, () => this.#feedId().topicId)
  }

  #peer(): PeerId {
    const dice = this.#dice
    if (dice.chance(0.6)) return dice.pick(this.links)
    if (dice.chance(0.3)) return this.#self.peer
    return `p${dice.magnitude(1, this.#strangers)}` as PeerId
  }

  #epoch(): Epoch {
    return this.#dice.chance(0.3) ? this.#self.epoch : (this.#hex(8) as Epoch)
  }

  /** Often what was asked for, else any. */
  #ref(): number {
    const { ref } = (this.#asked.length > 0 && this.#dice.chance(0.6) ? this.#dice.pick(this.#asked) : undefined) ?? {}
    return (ref ?? (this.#dice.chance(0.5) ? 0 : this.#count())) % 2 ** 32
  }

  #count(): number {
    const dice = this.#dice
    return dice.chance(0.1) ? dice.pick(edges) : dice.magnitude(1, 10_000) - 1
  }

  #hex(bytes: number): string {
    return Array.from({ length: bytes }, () => this.#dice.whole(0, 255).toString(16).padStart(2, '0')).join('')
  }
}

const types = [
  'ping',
  'ack',
  'nack',
  'pingRequest',
  'gossip',
  'pushPull',
  'pushPullDigest',
  'pushPullMore',
  'summary',
  'summaryDiffers',
  'digest',
  'digestMore',
  'want',
  'wantMissing',
  'disk',
  'handoff',
  'handoffConfirmed',
  'flush',
  'flushed',
  'clock',
  'credit',
  'follow',
  'followed',
  'followMore',
] as const

const edges = [0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]

const texts = ['', 'no answer to 3 indirect probes', 'Ötzi', '東京', '"<script>', 'x'.repeat(64)]
