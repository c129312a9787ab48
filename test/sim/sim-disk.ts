import { assert } from '#protocol/assert'
import { readBatchHeader } from '#protocol/log/batch'
import { feedKeyOf, NOTHING } from '#protocol/log/feed'
import type { FeedId, FeedKey, OffsetRange, Opening } from '#protocol/log/feed'
import { noRanges, type OffsetRanges, united, within, without } from '#protocol/log/offset-ranges'
import type { Space } from '#node/disk-space'
import { reserveBytes } from '#storage/disk-reserve'
import { changedFeeds, grown } from '#storage/feed-change'
import type { FeedState } from '#storage/feed-state'
import type { BatchToStore, MetaChange, StoreChange } from '#storage/feed-store'
import type { MemoryBatch } from '#storage/memory-reading'

export interface DiskFeed {
  readonly feed: FeedId
  readonly opening: Opening
  readonly state: FeedState
  /** In order, the opening batch first; those that were let go of are gone. */
  readonly batches: readonly MemoryBatch[]
}

/** Batches of which a bit has flipped, on whatever disks; each is changed in a copy of its own. */
const rotten = new WeakMap<Uint8Array, OffsetRange & { readonly asStored: Uint8Array }>()

/** The batch before any bit of it flipped. */
export const asStored = (bytes: Uint8Array): Uint8Array => rotten.get(bytes)?.asStored ?? bytes

/** Is the batch as it was stored, and read by its peer? */
export const isSound = ({ state }: DiskFeed, { head, bytes }: MemoryBatch): boolean =>
  !rotten.has(bytes) && !state.holes.some(({ from, to }) => from < head.nextOffset && head.nextOffset <= to)

/** What of a feed is whole on its disk, whether its peer knows of the rest or not. */
export function soundBatches(feed: DiskFeed): readonly MemoryBatch[] {
  const { batches } = feed
  return batches.every((batch) => isSound(feed, batch)) ? batches : batches.filter((batch) => isSound(feed, batch))
}

/** What of a feed has rotted and is not known to have. */
const hiddenDamage = ({ batches, state }: DiskFeed): OffsetRanges =>
  without(
    within(
      batches.flatMap(({ bytes }) => rotten.get(bytes) ?? []),
      keptOf(state),
    ),
    state.holes,
  )

/** What of a feed should be on its disk and is not, whether its peer knows of that or not. */
export const missingOn = (feed: DiskFeed): OffsetRanges => united(hiddenDamage(feed), feed.state.holes)

const allOffsets: OffsetRange = { from: 0, to: Number.POSITIVE_INFINITY }

/** What of a feed is on its disk. */
export const heldOn = (feed: DiskFeed): OffsetRanges =>
  without(within([keptOf(feed.state)], allOffsets), missingOn(feed))

const keptOf = ({ keptFrom, head }: FeedState): OffsetRange => ({ from: keptFrom, to: head.nextOffset })

/** One atomic write, with what it takes to undo it. */
interface Write {
  readonly feedsBefore: ReadonlyMap<FeedKey, DiskFeed | undefined>
  readonly metaBefore: readonly MetaChange[]
  readonly batches: number
}

const totalBytes = 2 ** 40

/** The last writes that a damaged log may lose. */
const undoableWritesMax = 32

/** Records of a feed that this disk once confirmed and then lost: damage, not a crash. Half-open. */
export interface LostRange {
  readonly feed: FeedKey
  readonly from: number
  readonly to: number
  readonly atMs: number
}

/** A batch that came to a disk; it may be gone. */
export type StoredOnce = Pick<BatchToStore, 'feed' | 'bytes'>

export interface Backup {
  readonly feeds: ReadonlyMap<FeedKey, DiskFeed>
  readonly meta: ReadonlyMap<string, Uint8Array>
}

/** What is on the platters of one machine; it survives its processes. Everything here is fsynced. */
export class SimDisk {
  readonly feeds = new Map<FeedKey, DiskFeed>()
  readonly meta = new Map<string, Uint8Array>()
  readonly lost: LostRange[] = []
  /** In the order in which they came. */
  readonly everStored: StoredOnce[] = []
  /** Let go of by the peer itself, which does not keep the feed. */
  readonly letGo: LostRange[] = []
  /** Noted by the peer as damaged, or as lost before it came here. */
  readonly noted: LostRange[] = []
  /** There is room for so many bytes; undefined: for more than there ever are. */
  capacity: number | undefined
  /** Everything takes so many times as long, until then. Infinity: the disk does not answer before. */
  slow: { readonly factor: number; readonly untilMs: number } | undefined
  /** The next append fails: what it wrote may be there or not. */
  failsNext = false
  /** Of a clone of its machine: what either has is had by their peer. */
  twin: SimDisk | undefined
  /** What clones let go of. */
  readonly #twinLetGo: LostRange[] = []
  /** Were writes lost after they were confirmed, metadata alone maybe? */
  isDamaged = false
  readonly #restoredAtMs = new Map<FeedKey, number>()
  /** Batches by their ends. */
  readonly #cameAtMs = new Map<FeedKey, Map<number, number>>()
  readonly #writes: Write[] = []

  apply(batches: readonly BatchToStore[], changes: readonly StoreChange[], nowMs = 0): void {
    for (const range of this.rangesLetGo(changes)) this.letGo.push({ ...range, atMs: nowMs })
    const states = this.#statesAfter(batches, changes)
    for (const [key, state] of states) {
      const found = without(state?.holes ?? [], this.feeds.get(key)?.state.holes ?? [])
      for (const range of found) this.noted.push({ feed: key, ...range, atMs: nowMs })
    }
    const feedsBefore = new Map(Array.from(states, ([key]) => [key, this.feeds.get(key)]))
    const metas = changes.filter((change) => change.type === 'meta')
    const metaBefore = metas.map(({ key }): MetaChange => ({ type: 'meta', key, value: this.meta.get(key) }))
    const filled = changes.flatMap((change) => (change.type === 'fill' ? change.batches : []))
    const added = Map.groupBy([...batches, ...filled], ({ feed }) => feedKeyOf(feed))
    this.everStored.push(...batches, ...filled)
    for (const [key, stored] of added) {
      const came = this.#cameAtMs.get(key) ?? new Map<number, number>()
      this.#cameAtMs.set(key, came)
      for (const { head } of stored) came.set(head.nextOffset, nowMs)
    }
    for (const [key, state] of states) {
      if (state === undefined) this.feeds.delete(key)
      else this.feeds.set(key, withBatches(this.feeds.get(key), state, added.get(key) ?? []))
    }
    for (const change of metas) this.#setMeta(change)
    this.#writes.push({ feedsBefore, metaBefore, batches: batches.length + filled.length })
    if (this.#writes.length > undoableWritesMax) this.#writes.shift()
  }

  /** LevelDB's log with a flipped bit: opens without a word, and the last writes are not there. Returns how many batches. */
  loseTail(writes: number, nowMs: number): number {
    this.isDamaged = true
    let count = 0
    for (const write of this.#writes.splice(-writes).toReversed()) {
      for (const [key, before] of write.feedsBefore) this.#restore(key, before, nowMs)
      for (const change of write.metaBefore) this.#setMeta(change)
      count += write.batches
    }
    return count
  }

  /** One bit of a stored batch is another now, and nobody is told. False: that batch is not there, or damaged already. */
  flipBit(key: FeedKey, end: number, at: number, nowMs: number): boolean {
    const feed = this.feeds.get(key)
    const batch = feed && soundBatches(feed).find(({ head }) => head.nextOffset === end)
    const header = batch && readBatchHeader(batch.bytes)
    if (feed === undefined || batch === undefined || typeof header !== 'object' || header.opening) return false
    const range = { from: header.baseOffset, to: end }
    const bytes = batch.bytes.slice()
    const bit = Math.floor(at * 8 * bytes.length)
    bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7))
    rotten.set(bytes, { ...range, asStored: batch.bytes })
    const batches = feed.batches.map((one) => (one === batch ? { ...batch, bytes } : one))
    this.feeds.set(key, { ...feed, batches })
    this.lost.push({ feed: key, ...range, atMs: nowMs })
    return true
  }

  /** As the system says it. */
  space(): Space {
    if (this.capacity === undefined) return { totalBytes, freeBytes: totalBytes }
    return { totalBytes, freeBytes: Math.max(0, reserveBytes(totalBytes) + this.capacity - this.usedBytes) }
  }

  get usedBytes(): number {
    const batches = [...this.feeds.values()].flatMap((feed) => feed.batches)
    return batches.reduce((sum, { bytes }) => sum + bytes.length, 0)
  }

  /** What a backup taken now would hold. */
  backup(): Backup {
    return { feeds: new Map(this.feeds), meta: new Map(this.meta) }
  }

  /** The disk is as it was when the backup was taken. Returns how many batches are gone. */
  restore({ feeds, meta }: Backup, nowMs: number): number {
    this.isDamaged = true
    this.#writes.length = 0
    let count = 0
    for (const key of new Set([...this.feeds.keys(), ...feeds.keys()])) {
      const [now, then] = [this.feeds.get(key), feeds.get(key)]
      if (now === then) continue
      count += (now?.batches.length ?? 0) - (then?.batches.length ?? 0)
      this.#restore(key, then, nowMs)
    }
    this.meta.clear()
    for (const [key, value] of meta) this.meta.set(key, value)
    return count
  }

  /** Makes a new disk an image of another one. */
  copy({ feeds, meta }: Backup): void {
    for (const [key, feed] of feeds) this.feeds.set(key, feed)
    for (const { feed, batches } of feeds.values()) {
      for (const { bytes } of batches) this.everStored.push({ feed, bytes })
    }
    for (const [key, value] of meta) this.meta.set(key, value)
  }

  /** The clone is gone, and with it what is not here: of a feed without records an empty range. */
  loseTwin(nowMs: number): void {
    const { twin } = this
    this.twin = undefined
    this.#twinLetGo.push(...(twin?.letGo ?? []))
    for (const [key, { opening, state }] of twin?.feeds ?? []) {
      const end = this.nextOffset(key)
      const from = Math.max(end, opening.predecessor?.nextOffset ?? 0)
      if (end < state.head.nextOffset) this.lost.push({ feed: key, from, to: state.head.nextOffset, atMs: nowMs })
      for (const hole of this.feeds.get(key)?.state.holes ?? []) this.noted.push({ feed: key, ...hole, atMs: nowMs })
    }
  }

  /** Another disk was put in. Returns how many batches are gone. */
  wipe(nowMs: number): number {
    return this.restore({ feeds: new Map(), meta: new Map() }, nowMs)
  }

  /** What these changes let go of, that aside which retention has: of a feed without records an empty range. */
  rangesLetGo(changes: readonly StoreChange[]): readonly Omit<LostRange, 'atMs'>[] {
    return changes.flatMap((change) => {
      if (change.type !== 'kept' && change.type !== 'forget') return []
      const key = feedKeyOf(change.feed)
      const state = this.feeds.get(key)?.state
      if (state === undefined) return []
      const { keptFrom: from, head } = state
      if (change.type === 'forget') return [{ feed: key, from, to: head.nextOffset }]
      return change.keptFrom > from ? [{ feed: key, from, to: change.keptFrom }] : []
    })
  }

  /** How far the feed goes here; NOTHING without its opening batch. */
  nextOffset(feed: FeedKey): number {
    return this.feeds.get(feed)?.state.head.nextOffset ?? NOTHING
  }

  /** What of the feed is here, and has come before that. */
  heldSince(key: FeedKey, atMs: number): OffsetRanges {
    const feed = this.feeds.get(key)
    if (feed === undefined || (this.#restoredAtMs.get(key) ?? 0) > atMs) return noRanges
    const came = this.#cameAtMs.get(key)
    const young = feed.batches.flatMap(({ head: { nextOffset: to } }, index) => {
      const from = feed.batches[index - 1]?.head.nextOffset ?? to
      return from < to && (came?.get(to) ?? 0) > atMs ? [{ from, to }] : []
    })
    return without(heldOn(feed), young)
  }

  /** How far the feed goes here without a gap above that position, as far as its peer knows. */
  wholeUpTo(feed: FeedKey, above = 0): number {
    const state = this.feeds.get(feed)?.state
    if (state === undefined) return NOTHING
    return state.holes.find(({ to }) => to > above)?.from ?? state.head.nextOffset
  }

  /** When the record, or else any part of the feed, was last lost by damage, having been confirmed. It may be back since. */
  lostAtMs(feed: FeedKey, offset?: number): number | undefined {
    const isIn = ({ from, to }: LostRange): boolean => offset === undefined || (from <= offset && offset < to)
    return this.lost.findLast((range) => range.feed === feed && isIn(range))?.atMs
  }

  /** Has the record been in a hole here, maybe until a moment ago? */
  wasInHole(feed: FeedKey, offset: number): boolean {
    return this.noted.some((range) => range.feed === feed && range.from <= offset && offset < range.to)
  }

  /** When something of the feed was last here and then not, by damage that its peer knows of, or on purpose. */
  missingSinceMs(feed: FeedKey): number | undefined {
    const ofTwin = this.twin?.letGo ?? []
    const times = [...this.lost, ...this.letGo, ...this.noted, ...ofTwin, ...this.#twinLetGo].flatMap((range) =>
      range.feed === feed ? [range.atMs] : [],
    )
    return times.length === 0 ? undefined : Math.max(...times)
  }

  /** A peer that goes wrong stores what does not fit: the checkers shall see it. */
  #statesAfter(batches: readonly BatchToStore[], changes: readonly StoreChange[]) {
    const grow = new Map<FeedKey, FeedState | undefined>()
    const stateOf = (key: FeedKey) => grow.get(key) ?? this.feeds.get(key)?.state
    for (const batch of batches) {
      const key = feedKeyOf(batch.feed)
      const header = readBatchHeader(batch.bytes)
      assert(typeof header !== 'string', 'a batch to store has a header')
      grow.set(key, grown(stateOf(key), batch, header.hlc.ms))
    }
    return new Map([...grow, ...changedFeeds(stateOf, [], changes)])
  }

  #restore(key: FeedKey, before: DiskFeed | undefined, atMs: number): void {
    this.#restoredAtMs.set(key, atMs)
    const now = this.feeds.get(key)
    if (before === undefined) this.feeds.delete(key)
    else this.feeds.set(key, before)
    if (now === undefined) return
    const from = before?.state.head.nextOffset ?? now.opening.predecessor?.nextOffset ?? 0
    this.lost.push({ feed: key, from, to: now.state.head.nextOffset, atMs })
    for (const hole of before?.state.holes ?? []) this.lost.push({ feed: key, ...hole, atMs })
  }

  #setMeta({ key, value }: MetaChange): void {
    if (value === undefined) this.meta.delete(key)
    else this.meta.set(key, value)
  }
}

function withBatches(before: DiskFeed | undefined, state: FeedState, added: readonly BatchToStore[]): DiskFeed {
  const { feed, opening, keptFrom } = state
  const grown = [...(before?.batches ?? []), ...added.map(({ bytes, head }) => ({ bytes, head }))]
  const isInOrder = isRising(grown.slice(-added.length - 1).map(({ head }) => head.nextOffset))
  if (isInOrder && keptFrom === before?.state.keptFrom) return { feed, opening, state, batches: grown }
  const byEnd = new Map(grown.map((batch) => [batch.head.nextOffset, batch]))
  const [first, ...others] = [...byEnd.values()].toSorted((a, b) => a.head.nextOffset - b.head.nextOffset)
  assert(first !== undefined, 'the first batch of a feed brings its opening')
  return { feed, opening, state, batches: [first, ...others.filter(({ head }) => head.nextOffset > keptFrom)] }
}

const isRising = (values: readonly number[]): boolean =>
  values.every((value, index) => index === 0 || value > (values[index - 1] as number))
