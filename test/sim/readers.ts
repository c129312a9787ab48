import { nodeDigests } from '#node/node-digests'
import { openReader } from '#node/reader'
import type { PeerDriver } from '#node/driver'
import type { Reader, StoredRecord } from '#gateway/broker'
import { valueName } from './checkers/anomaly.ts'
import { placeText } from './history.ts'
import type { FeedKey } from '#protocol/log/feed'
import type { TopicName } from '#protocol/topic-name'
import type { Dice } from './dice.ts'
import type { Place, Reading } from './history.ts'
import type { Scheduler } from './scheduler.ts'
import type { SimPeer } from './sim-peer.ts'
import type { Trace } from './trace.ts'

export interface SimReaderDeps {
  readonly scheduler: Scheduler
  readonly dice: Dice
  readonly peers: readonly SimPeer[]
  readonly trace: Trace
  readonly moveEveryMs: number
}

/** A reader that finds nothing so often in one moment of virtual time is spinning. */
const emptyReadsMax = 100

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

  constructor(reading: Reading, deps: SimReaderDeps) {
    this.reading = reading
    this.#deps = deps
  }

  start(): void {
    this.#check()
    this.#deps.scheduler.after(this.#deps.dice.exponential(this.#deps.moveEveryMs), () => this.#move())
  }

  /** A dead peer shows by its silence: the client looks for another. */
  #check(): void {
    if (this.#driver === undefined || this.#at?.driver !== this.#driver) this.#connect()
    this.#deps.scheduler.after(100, () => this.#check())
  }

  #move(): void {
    this.#connect()
    this.#deps.scheduler.after(this.#deps.dice.exponential(this.#deps.moveEveryMs), () => this.#move())
  }

  #connect(): void {
    this.#hangUp.abort()
    this.#hangUp = new AbortController()
    const connection = ++this.#connection
    this.#at = this.#deps.dice.pick(this.#deps.peers)
    const { driver } = this.#at
    this.#driver = driver
    if (driver === undefined) return
    this.#deps.trace.line(this.#at.id, 'reader', `${this.reading.name} of ${this.reading.topic} comes`)
    this.#at.do(() => connection === this.#connection && this.#open(driver))
  }

  #open(driver: PeerDriver): void {
    const topic = this.reading.topic as TopicName
    const reader = openReader({
      source: this.#at?.source ?? driver,
      topic,
      topicId: driver.peer.topicIdOf(topic),
      from: this.#cursor === undefined ? { type: this.reading.from } : { type: 'cursor', cursor: this.#cursor },
      digests: nodeDigests,
      wallMs: this.#at?.wallMs() ?? 0,
    })
    if (this.#cursor === undefined) this.reading.sinceMs = this.#deps.scheduler.nowMs
    // A reader of the latest keeps where it began, also when nothing has come before it moves.
    this.#cursor = reader.cursor
    void this.#follow(reader, this.#connection, this.#hangUp.signal)
  }

  async #follow(reader: Reader, connection: number, signal: AbortSignal): Promise<void> {
    for (;;) {
      const chunk = await reader.next(this.#deps.dice.whole(1, 20))
      if (connection !== this.#connection) return
      for (const { record, cursor } of chunk.records) this.#take(record, cursor)
      this.reading.gaps.push(...(chunk.gaps ?? []).map((gap) => ({ ...gap, at: this.#at?.id ?? '' })))
      if (chunk.records.length === 0) this.#countEmptyRead()
      this.#cursor = chunk.cursor
      if (chunk.upToDate) await reader.more(signal)
      if (connection !== this.#connection) return
    }
  }

  #take(record: StoredRecord, cursor: string): void {
    const [writer, epoch] = record.feed.split('.')
    const topicId = this.#at?.driver?.peer.topicIdOf(this.reading.topic as TopicName)
    const place: Place = { feed: `${topicId}/${writer}/${epoch}` as FeedKey, offset: record.offset }
    const at = this.#at?.id ?? ('nobody' as never)
    this.reading.records.push({ place, value: valueName(record.value), at })
    this.#cursor = cursor
    this.#deps.trace.line(at, 'read', `${this.reading.name} ${placeText(place)}`)
  }

  #countEmptyRead(): void {
    const atMs = this.#deps.scheduler.nowMs
    this.#emptyReads = { atMs, count: this.#emptyReads.atMs === atMs ? this.#emptyReads.count + 1 : 1 }
    if (this.#emptyReads.count > emptyReadsMax) throw new Error(`reader ${this.reading.name} spins at ${this.#at?.id}`)
  }
}
