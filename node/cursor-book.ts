import type { Reader } from '#gateway/broker'
import type { Digests } from '#protocol/digests'
import { MeshError } from '#protocol/errors'
import { limits } from '#protocol/limits'
import { encodeRecords } from '#protocol/log/record'
import { textOf, utf8 } from '#protocol/text'
import { cursorsTopic, type TopicName } from '#protocol/topic-name'
import { decodeCursors, encodeCursors } from '#protocol/topics/cursor-records'
import {
  editCursor,
  isKeeperOf,
  joinCursors,
  keyOfCursor,
  type NamedCursorState,
  unknownCursor,
  valueOf,
} from '#protocol/topics/named-cursor'
import { runOf } from '#protocol/topics/register'
import type { PeerDriver } from './driver.ts'
import type { Clock } from './driver-ports.ts'
import { openReader } from './reader.ts'

export interface CursorBookDeps {
  readonly driver: PeerDriver
  readonly clock: Clock
  readonly digests: Digests
  /** Beyond so many states that say nothing new it says again what it has to say. */
  readonly compactAfter?: number
}

/** How many records of `$cursors` are read at a time. */
const readRecords = 256

interface Edit {
  readonly state: NamedCursorState
  readonly done: PromiseWithResolvers<void>
}

/**
 * Named cursors at one peer (DESIGN §10): what the records of `$cursors` say, joined. The topic is kept at ordinary homes,
 * so a peer reads it like any other, through others maybe; from the first time that it is asked for a cursor on.
 *
 *   put, delete ─► #ahead ─ publish ─► a record of this peer's own feed ─ on disk ─► #known ─► answered
 *
 * 1. What is answered is on the disk of this peer.
 * 2. An edit starts from all that is known here by then, other edits on their way included: only what two sides of a split, or two
 *    peers at once, store without seeing each other stands side by side.
 * 3. One write is under way at a time; what is asked for meanwhile shares the next.
 * 4. What this peer has written stays in proportion to what it has to say: at twice that and `compactAfter` states it says it
 *    once more, and moves the floors of its own feeds over what was before.
 */
export class CursorBook {
  readonly #deps: CursorBookDeps
  readonly #known = new Map<string, NamedCursorState>()
  readonly #ahead = new Map<string, Edit>()
  #reader: Reader | undefined
  /** The number of the last one after which what was late was tried again. */
  #advances = 0
  #reading: Promise<void> | undefined
  /** This peer's own feeds of which something could not be read yet: told once, and so until they go on. */
  readonly #late = new Set<string>()
  #isUpToDate = false
  #length = 0
  /** States in this peer's own feeds, as far as they were read. */
  #ownStates = 0
  #writing = false

  constructor(deps: CursorBookDeps) {
    this.#deps = deps
  }

  /** The text of the cursor. */
  async get(topic: TopicName, name: string): Promise<string | undefined> {
    await this.#readOn()
    return this.#valueOf(this.#stateOf(topic, name))
  }

  /** Resolves once it is on this peer's disk. Rejects with TOO_MANY_CURSORS, DRAINING, STORAGE_FAILED. */
  async put(topic: TopicName, name: string, text: string): Promise<void> {
    await this.#readOn()
    const state = this.#latest(topic, name)
    const isNew = !this.#known.has(keyOfCursor(state)) && !this.#ahead.has(keyOfCursor(state))
    const count = this.#known.size + this.#ahead.size
    const growth = text.length - lengthOf(this.#stateOf(topic, name))
    const isFull =
      (isNew && count >= limits.namedCursorsMax) || (growth > 0 && this.#length + growth > limits.namedCursorsLengthMax)
    if (isFull) throw new MeshError('TOO_MANY_CURSORS')
    await this.#edit(state, text)
  }

  /** False if there is none. */
  async delete(topic: TopicName, name: string): Promise<boolean> {
    await this.#readOn()
    const state = this.#latest(topic, name)
    if (this.#valueOf(state) === undefined) return false
    await this.#edit(state, null)
    return true
  }

  #valueOf(state: NamedCursorState): string | undefined {
    return valueOf(state, this.#deps.driver.peer.topicIdOf(state.topic), this.#deps.digests)
  }

  #stateOf(topic: TopicName, name: string): NamedCursorState {
    return this.#known.get(keyOfCursor({ topic, name })) ?? unknownCursor(topic, name)
  }

  #latest(topic: TopicName, name: string): NamedCursorState {
    const known = this.#stateOf(topic, name)
    const ahead = this.#ahead.get(keyOfCursor(known))
    return ahead === undefined ? known : joinCursors(known, ahead.state)
  }

  // Reading -------------------------------------------------------------------------------------------------------------

  /** To the end of what can be had here; one look at a time, and who asks meanwhile waits for the next. */
  async #readOn(): Promise<void> {
    const before = this.#reading
    if (before !== undefined) await before
    this.#reading ??= this.#read().finally(() => (this.#reading = undefined))
    return this.#reading
  }

  async #read(): Promise<void> {
    const { driver, clock, digests } = this.#deps
    const { source } = driver
    const topicId = driver.peer.topicIdOf(cursorsTopic)
    await source.settled(topicId)
    const from = { type: 'earliest' } as const
    if (this.#reader === undefined) {
      this.#reader = openReader({ source, topic: cursorsTopic, topicId, from, digests, wallMs: clock.wallMs() })
      this.#advances = source.advances(topicId)
    }
    await this.#readAll(this.#reader)
    const advances = source.advances(topicId)
    if (advances === this.#advances) return
    this.#advances = advances
    await tryAgain(this.#reader)
    await this.#readAll(this.#reader)
  }

  async #readAll(reader: Reader): Promise<void> {
    for (;;) {
      const { records, upToDate, gaps = [] } = await reader.next(readRecords)
      for (const { record } of records) this.#learnRecord(record.value, record.feed)
      for (const { feed, type } of gaps) if (type === 'lost') this.#late.delete(feed)
      for (const { feed, type } of gaps) if (type === 'late' && this.#isOwn(feed)) this.#late.add(feed)
      this.#isUpToDate = upToDate
      // What is late comes with a later look.
      if (upToDate || records.length === 0) return
    }
  }

  #learnRecord(value: Uint8Array, feed: string): void {
    // What a later version says is its own business.
    const states = decodeCursors(textOf(value) ?? '') ?? []
    this.#late.delete(feed)
    if (this.#isOwn(feed)) this.#ownStates += states.length
    for (const state of states) this.#learn(state)
  }

  #isOwn(feed: string): boolean {
    return feed.startsWith(`${this.#deps.driver.peer.self}.`)
  }

  #learn(state: NamedCursorState): void {
    const key = keyOfCursor(state)
    const before = this.#known.get(key)
    const now = before === undefined ? state : joinCursors(before, state)
    this.#known.set(key, now)
    this.#length += lengthOf(now) - (before === undefined ? 0 : lengthOf(before))
  }

  // Writing -------------------------------------------------------------------------------------------------------------

  #edit(base: NamedCursorState, value: string | null): Promise<void> {
    const { self, epoch } = this.#deps.driver.peer
    const state = editCursor(base, runOf(self, epoch), value)
    const key = keyOfCursor(state)
    // Who asked for what is replaced before it was written is answered with it.
    const done = this.#ahead.get(key)?.done ?? Promise.withResolvers<void>()
    this.#ahead.set(key, { state, done })
    void this.#write()
    return done.promise
  }

  async #write(): Promise<void> {
    if (this.#writing) return
    this.#writing = true
    while (this.#ahead.size > 0) await this.#writeNext()
    this.#writing = false
  }

  async #writeNext(): Promise<void> {
    const ahead = [...this.#ahead.values()]
    const { text, count } = encodeCursors(ahead.map(({ state }) => state))
    const edits = ahead.slice(0, count)
    try {
      await this.#publish(text)
      for (const { state } of edits) this.#learn(state)
      this.#settle(edits, ({ done }) => done.resolve())
    } catch (error) {
      this.#settle(edits, ({ done }) => done.reject(error))
    }
    // What was stored is stored; it is tried again after a later write.
    await this.#compact().catch(() => {})
  }

  /** What was asked for again meanwhile waits for its own write. */
  #settle(edits: readonly Edit[], tell: (edit: Edit) => void): void {
    for (const edit of edits) {
      const key = keyOfCursor(edit.state)
      if (this.#ahead.get(key) !== edit) continue
      this.#ahead.delete(key)
      tell(edit)
    }
  }

  async #publish(text: string): Promise<void> {
    const records = encodeRecords([{ value: utf8(text), headers: { 'content-type': 'application/json' } }])
    await this.#deps.driver.publish(cursorsTopic, [records], { type: 'local' }, 0)
  }

  /** All that this peer has stored and nobody has replaced, said once more with all that is known, is all that is needed of it. */
  async #compact(): Promise<void> {
    const { driver, compactAfter = 1_024 } = this.#deps
    const { self } = driver.peer
    if (this.#ownStates <= compactAfter) return
    await this.#readOn()
    const kept = [...this.#known.values()].filter((state) => isKeeperOf(self, state))
    if (this.#ownStates <= 2 * kept.length + compactAfter) return
    // What could not be read yet is not said again, so it must stay.
    if (!this.#isUpToDate || this.#late.size > 0) return
    const feeds = driver.feeds(driver.peer.topicIdOf(cursorsTopic)).filter(({ feed }) => feed.writer === self)
    const floors = feeds.map(({ feed, head }) => ({ feed, floor: head }))
    this.#ownStates = 0
    for (let rest: readonly NamedCursorState[] = kept; rest.length > 0;) {
      const { text, count } = encodeCursors(rest)
      await this.#publish(text)
      rest = rest.slice(count)
    }
    driver.letGo(floors)
  }
}

/** What is late: a reader does so when somebody waits for more. Here nobody does. */
async function tryAgain(reader: Reader): Promise<void> {
  const wait = new AbortController()
  const asked = reader.more(wait.signal)
  wait.abort()
  await asked
}

const lengthOf = ({ values }: NamedCursorState): number =>
  [...values.values()].reduce((sum, text) => sum + (text?.length ?? 0), 0)
