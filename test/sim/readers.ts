import { MeshError } from '#protocol/errors'
import { nodeDigests } from '#node/node-digests'
import { openReader } from '#node/reader'
import type { PeerDriver } from '#node/driver'
import type { ReadGap, Reader, StoredRecord } from '#gateway/broker'
import { valueName } from './checkers/anomaly.ts'
import { holdsSome } from './checkers/cursors.ts'
import { placeOf, placeText } from './history.ts'
import { type FeedKey, feedKeyOf } from '#protocol/log/feed'
import { type OffsetRanges, without } from '#protocol/log/offset-ranges'
import type { FeedView } from '#node/read-source'
import type { Written } from './checkers/written.ts'
import { RepeatWatch } from './repeat-watch.ts'
import type { TopicId } from '#protocol/ids'
import type { TopicName } from '#protocol/topic-name'
import type { Dice } from './dice.ts'
import type { Reading } from './history.ts'
import { statusAt } from './operators.ts'
import type { Scheduler } from './scheduler.ts'
import type { SimDisk } from './sim-disk.ts'
import type { SimPeer } from './sim-peer.ts'
import type { Stay } from './repeat-watch.ts'
import type { Trace } from './trace.ts'

export interface SimReaderDeps {
  readonly scheduler: Scheduler
  readonly dice: Dice
  readonly peers: readonly SimPeer[]
  readonly trace: Trace
  readonly moveEveryMs: number
  readonly written: Written
  /** Told once at each peer. */
  readonly onCaughtUp: (reading: Reading, at: SimPeer) => void
}

/** A reader that finds nothing so often in one moment of virtual time is spinning. */
const emptyReadsMax = 1_000

/** A client that reads one topic for ever, and goes to another peer with its cursor when it likes or has to. */
export class SimReader {
  readonly reading: Reading
  readonly #deps: SimReaderDeps
  #cursor: string | undefined
  #at: SimPeer | undefined
  #driver: PeerDriver | undefined
  /** Of the connection to a peer: what an earlier one still answers is not listened to. */
  #connection = 0
  #hangUp = new AbortController()
  #emptyReads = { atMs: 0, count: 0 }
  readonly #repeats: RepeatWatch

  /** From a cursor, or else from where the reading says. */
  constructor(reading: Reading, deps: SimReaderDeps, cursor?: string) {
    this.reading = reading
    this.#repeats = new RepeatWatch(reading)
    this.#cursor = cursor
    this.#deps = deps
  }

  start(): void {
    this.#check()
    this.#deps.scheduler.after(this.#deps.dice.exponential(this.#deps.moveEveryMs), () => this.#move())
  }

  /** A dead peer shows by its silence: the client looks for another. */
  #check(): void {
    const isGone = this.#at !== undefined && isForgotten(this.#at)
    if (this.#driver === undefined || this.#at?.driver !== this.#driver || isGone) this.#connect()
    this.#deps.scheduler.after(100, () => this.#check())
  }

  #move(): void {
    this.#connect()
    this.#deps.scheduler.after(this.#deps.dice.exponential(this.#deps.moveEveryMs), () => this.#move())
  }

  #connect(): void {
    // With a reason: without one each makes an error with a stack.
    this.#hangUp.abort('hung up')
    this.#hangUp = new AbortController()
    const connection = ++this.#connection
    const peers = this.#deps.peers.filter((peer) => !isForgotten(peer))
    this.#at = this.#deps.dice.pick(peers.length === 0 ? this.#deps.peers : peers)
    const { driver } = this.#at
    this.#driver = driver
    if (driver === undefined) return
    this.#deps.trace.line(this.#at.id, 'reader', `${this.reading.name} of ${this.reading.topic} comes`)
    this.#at.do(() => connection === this.#connection && this.#open(driver))
  }

  #open(driver: PeerDriver): void {
    const topic = this.reading.topic as TopicName
    const at = this.#at
    const wallMs = this.#at?.wallClock.nowMs() ?? 0
    const reader = openReader({
      source: this.#at?.source ?? driver.source,
      topic,
      topicId: this.#topicIdAt(driver),
      from: this.#cursor === undefined ? { type: startOf(this.reading) } : { type: 'cursor', cursor: this.#cursor },
      digests: nodeDigests,
      wallMs,
    })
    if (this.#cursor === undefined) {
      const goneBefore = this.#deps.written.gone()
      Object.assign(this.reading, { sinceMs: this.#deps.scheduler.nowMs, sinceWallMs: wallMs, goneBefore })
    }
    this.#repeats.began(reader.cursor, { disks: this.#disks, topicId: this.#topicIdAt(driver) })
    // A reader of the latest keeps where it began, also when nothing has come before it moves.
    this.#cursor = reader.cursor
    this.#follow(this.#at?.readerOf(reader) ?? reader, this.#connection, this.#hangUp.signal).catch(
      (error: unknown) => {
        // The last word of a process that stops, or whose disk has failed, is no fault; what one says that has ended nobody hears.
        const isLastWord = error instanceof MeshError && ['DRAINING', 'STORAGE_FAILED'].includes(error.code)
        if (at?.driver === driver && !isLastWord) throw error
      },
    )
  }

  get #disks(): readonly SimDisk[] {
    return disksIn(this.#deps.peers)
  }

  #topicIdAt({ peer }: PeerDriver): TopicId {
    return peer.topicIdOf(this.reading.topic as TopicName)
  }

  async #follow(reader: Reader, connection: number, signal: AbortSignal): Promise<void> {
    const [at, driver] = [this.#at, this.#driver]
    if (at === undefined || driver === undefined) return
    const topicId = this.#topicIdAt(driver)
    let isCaughtUp = false
    for (;;) {
      const held = heldAt(driver, topicId)
      const before = driver.source.feeds(topicId)
      const known = once(() => new Set(headsOf(before).keys()))
      const chunk = await reader.next(this.#deps.dice.whole(1, 20))
      if (connection !== this.#connection) return
      const now = driver.source.feeds(topicId)
      const inReach = once(() => headsOf(now))
      const stay = { at, topicId, known, held, inReach, disks: this.#disks, written: this.#deps.written }
      for (const gap of chunk.gaps ?? []) this.#takeGap(gap, stay)
      for (const { record, cursor } of chunk.records) this.#take(record, cursor, stay)
      this.#repeats.goingOn(chunk.cursor, stay)
      if (chunk.records.length === 0) this.#countEmptyRead()
      this.#cursor = chunk.cursor
      if (chunk.upToDate && chunk.isolated !== true && !isCaughtUp) {
        isCaughtUp = true
        this.#deps.onCaughtUp(this.reading, this.#at as SimPeer)
      }
      if (chunk.upToDate || chunk.records.length === 0) await reader.more(signal)
      if (connection !== this.#connection) return
    }
  }

  #take(record: StoredRecord, cursor: string, stay: Stay): void {
    const place = placeOf(stay.topicId, record.id)
    const at = stay.at.id
    this.#repeats.taking(place, stay)
    this.reading.records.push({ place, value: valueName(record.value), at })
    this.#cursor = cursor
    this.#deps.trace.line(at, 'read', `${this.reading.name} ${placeText(place)}`)
  }

  #takeGap(gap: ReadGap, { at, written }: Stay): void {
    // A peer that crashed before it had written down who joined does not know of that one's copies, and cannot ask.
    const members = new Set(at.driver?.peer.membership.registryView().peers)
    const asked = this.#deps.peers.filter(({ id }) => members.has(id))
    const wasHeld = disksIn(asked).some((disk) => holdsSome(disk, this.reading.topic, gap, written))
    this.reading.gaps.push({ ...gap, at: at.id, wasHeld })
    this.#deps.trace.line(at.id, 'gap', `${this.reading.name} ${gap.type} ${gap.feed} [${gap.from}, ${gap.to})`)
  }

  #countEmptyRead(): void {
    const atMs = this.#deps.scheduler.nowMs
    this.#emptyReads = { atMs, count: this.#emptyReads.atMs === atMs ? this.#emptyReads.count + 1 : 1 }
    if (this.#emptyReads.count > emptyReadsMax) throw new Error(`reader ${this.reading.name} spins at ${this.#at?.id}`)
  }
}

const headsOf = (feeds: readonly FeedView[]): ReadonlyMap<FeedKey, number> =>
  new Map(feeds.map(({ feed, head }) => [feedKeyOf(feed), head.nextOffset]))

/** What it has let go of may be on a slow disk for a while longer. */
function heldAt({ peer }: PeerDriver, topicId: TopicId): () => ReadonlyMap<FeedKey, OffsetRanges> {
  const now = peer.replication.local.ofTopic(topicId).map(({ key, keptFrom, durable, holes }) => {
    return { key, keptFrom, end: durable?.nextOffset ?? keptFrom, holes }
  })
  return once(() => {
    return new Map(now.map(({ key, keptFrom, end, holes }) => [key, without([{ from: keptFrom, to: end }], holes)]))
  })
}

/** Made when it is asked for: most of what readers are given is held against nothing. */
function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined
  return () => (made ??= { value: make() }).value
}

/** It is not ready, so that who balances clients keeps them away; or switched off. */
const isForgotten = (peer: SimPeer): boolean => peer.isRetired || statusAt(peer, peer.id) === 'forgotten'

const startOf = ({ from }: Reading): 'earliest' | 'latest' => (from === 'latest' ? 'latest' : 'earliest')

const disksIn = (peers: readonly SimPeer[]): readonly SimDisk[] =>
  peers.flatMap(({ disk }) => (disk.twin === undefined ? [disk] : [disk, disk.twin]))
