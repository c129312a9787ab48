import type { MeshError } from '#protocol/errors'
import type { DeliveredBatch } from '#protocol/wire/binary-frame'
import type { CursorMap, EventFrame } from '#protocol/wire/socket-frames'
import type { Connection, Participant } from './connection.ts'
import type { Frame, FrameSocket } from './frame-socket.ts'
import { errorOfProblem } from './problem.ts'
import { type Gap, ReceivedRecord } from './record.ts'
import { recordsOfBatch } from './received-batch.ts'
import { RecordCredit } from './record-credit.ts'
import { SeenNumbers } from './seen-numbers.ts'

export type { CursorMap } from '#protocol/wire/socket-frames'

/** What a live read tells, in the order it happens. */
export type StreamItem =
  | { readonly type: 'record'; readonly record: ReceivedRecord }
  /** Everything that this peer held has been told; what follows is live. `cursors`: where each topic is. */
  /** `isolated`: of some topic the peer reaches nobody who keeps it; told again without, once that has changed. */
  | { readonly type: 'caught-up'; readonly cursors: CursorMap; readonly isolated?: boolean }
  | { readonly type: 'gap'; readonly topic: string; readonly gap: Gap }
  /** Names of members that the peer believes to live, of those that it knows. */
  | { readonly type: 'partition'; readonly reachable: readonly string[]; readonly known: readonly string[] }
  | { readonly type: 'healed' }
  /** The topic was deleted. One that is made under its name again is another one, and is read from its beginning. */
  | { readonly type: 'deleted'; readonly topic: string }
  /** The stream broke or cannot begin yet. It goes on from its cursors after `retryInMs`, maybe at another server. */
  | { readonly type: 'interrupted'; readonly error: MeshError; readonly retryInMs: number }

export interface SubscriptionConfig {
  readonly topics: readonly string[]
  /** `earliest`, `latest`, the cursor of the one topic, or a cursor for each topic. */
  readonly from: string | CursorMap
  readonly signal: AbortSignal
  /** Once it aborts nothing more is asked for, and what has come is the rest. */
  readonly drain: AbortSignal
  /** Where it says that somebody takes from it, until nobody does. */
  readonly streams: Set<Promise<void>>
}

let lastSub = 0

/**
 * Reads topics for ever: after a break from where it was, at whatever server the connection finds. Ends by throwing: the
 * signal's reason, or a MeshError that waiting does not cure.
 */
export async function* streamOf(connection: Connection, config: SubscriptionConfig): AsyncGenerator<StreamItem, void> {
  const subscription = new Subscription(connection, config)
  const end = Promise.withResolvers<void>()
  config.streams.add(end.promise)
  subscription.begin()
  try {
    for (let item = await subscription.next(); item !== undefined; item = await subscription.next()) yield item
  } finally {
    subscription.end()
    config.streams.delete(end.promise)
    end.resolve()
  }
}

/** How soon a subscription that was refused for now asks again. */
const askAgainMs = 1_000

class Subscription implements Participant {
  readonly #sub = `s${++lastSub}`
  readonly #connection: Connection
  readonly #config: SubscriptionConfig
  /** Where each topic is, as far as told: all that is needed to go on elsewhere. */
  readonly #cursors = new Map<string, string>()
  /** Told and not yet taken; never more records than there was credit for. */
  readonly #items: StreamItem[] = []
  #taken = 0
  readonly #credit = new RecordCredit()
  readonly #seen = new SeenNumbers()
  #hasBegun = false
  #socket: FrameSocket | undefined
  #failure: Error | undefined
  #wake: (() => void) | undefined
  #leave: (() => void) | undefined
  #askAgain: ReturnType<typeof setTimeout> | undefined

  constructor(connection: Connection, config: SubscriptionConfig) {
    this.#connection = connection
    this.#config = config
    const { from, topics } = config
    if (typeof from === 'object') for (const entry of Object.entries(from)) this.#cursors.set(...entry)
    else if (from !== 'earliest' && from !== 'latest' && topics[0] !== undefined) this.#cursors.set(topics[0], from)
  }

  begin(): void {
    const { signal, drain } = this.#config
    if (signal.aborted) return this.failed(signal.reason as Error)
    if (drain.aborted) return
    signal.addEventListener('abort', this.#onAbort)
    drain.addEventListener('abort', this.#onDrain)
    this.#leave = this.#connection.join(this)
  }

  end(): void {
    this.#config.signal.removeEventListener('abort', this.#onAbort)
    this.#leaveNow()
  }

  /** Nothing more comes; what has come may still be taken. */
  #leaveNow(): void {
    this.#config.drain.removeEventListener('abort', this.#onDrain)
    clearTimeout(this.#askAgain)
    this.#leave?.()
    this.#socket?.send({ type: 'unsubscribe', sub: this.#sub })
    this.#socket = undefined
  }

  /** What was told comes before what has ended it. Undefined at the end of one that was drained. */
  async next(): Promise<StreamItem | undefined> {
    for (;;) {
      const item = this.#take()
      if (item !== undefined) return item
      if (this.#failure !== undefined) throw this.#failure
      if (this.#config.drain.aborted) return undefined
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  #take(): StreamItem | undefined {
    // An aborted signal is obeyed at once.
    if (this.#config.signal.aborted) throw this.#config.signal.reason
    const item = this.#items[this.#taken]
    if (item === undefined) return undefined
    if (++this.#taken === this.#items.length) {
      this.#items.length = 0
      this.#taken = 0
    }
    if (item.type === 'record') this.#give(this.#credit.taken())
    return item
  }

  #give(n: number): void {
    if (n > 0) this.#socket?.send({ type: 'credit', sub: this.#sub, n })
  }

  #tell(item: StreamItem): void {
    // News of the connection and the mesh: who comes late wants the last word of each, not the history.
    if (item.type !== 'record' && item.type !== 'gap' && item.type !== 'deleted') {
      const stale = this.#items.findIndex(({ type }, index) => index >= this.#taken && type === item.type)
      if (stale >= 0) this.#items.splice(stale, 1)
    }
    this.#items.push(item)
    this.#wake?.()
  }

  // As a participant of the connection ------------------------------------------------------------------------------------

  opened(socket: FrameSocket): void {
    this.#socket = socket
    clearTimeout(this.#askAgain)
    const { topics, from } = this.#config
    const start = this.#hasBegun ? Object.fromEntries(this.#cursors) : from
    socket.send({ type: 'subscribe', sub: this.#sub, topics, from: start, credit: this.#credit.renewed(socket) })
  }

  frame(frame: Frame, length: number): boolean {
    if (frame.type === 'bye') this.#socket = undefined
    if (!('sub' in frame) || frame.sub !== this.#sub) return false
    switch (frame.type) {
      case 'record': {
        this.#credit.received(1, length)
        this.#cursors.set(frame.record.topic, frame.cursor)
        this.#onRecord(new ReceivedRecord(frame.record, frame.cursor))
        break
      }
      case 'batch':
        this.#onBatch(frame.batch, length)
        break
      case 'subscribed':
        this.#onSubscribed(frame.cursor)
        break
      case 'event':
        this.#onEvent(frame)
        break
      case 'error':
        this.#onError(errorOfProblem(frame.problem, { status: 0, server: this.#socket?.server ?? '' }))
        break
      default:
        // Frames of later versions are no reason to fail.
        break
    }
    return true
  }

  #onRecord(record: ReceivedRecord): void {
    // It was accepted twice, and this peer does not hold the copy that was given.
    if (this.#seen.add(record)) this.#tell({ type: 'record', record })
    else this.#give(this.#credit.taken())
  }

  #onBatch(batch: DeliveredBatch, length: number): void {
    const { topic, feed, from, header, cursor } = batch
    this.#cursors.set(topic, cursor)
    const records = recordsOfBatch(batch)
    if (typeof records === 'string') {
      this.#give(this.#credit.passedOver(header.nextOffset - from))
      return this.#tell({ type: 'gap', topic, gap: { type: 'lost', feed, from, to: header.nextOffset } })
    }
    this.#credit.received(records.length, length)
    for (const run of runsOf(records)) {
      const [{ producer }] = run
      const areNew = producer === undefined || this.#seen.addRun({ topic, producer, count: run.length })
      for (const record of run) {
        if (areNew) this.#tell({ type: 'record', record })
        else this.#onRecord(record)
      }
    }
  }

  interrupted(error: MeshError, { retryInMs }: { readonly retryInMs: number }): void {
    this.#socket = undefined
    this.#tell({ type: 'interrupted', error, retryInMs })
  }

  failed(error: Error): void {
    this.#failure ??= error
    this.#wake?.()
  }

  readonly #onAbort = (): void => this.failed(this.#config.signal.reason as Error)

  readonly #onDrain = (): void => {
    this.#leaveNow()
    this.#wake?.()
  }

  /** From now on it goes on from its cursors; topics without one are new, and read from their beginning. */
  #onSubscribed(cursors: CursorMap): void {
    this.#hasBegun = true
    for (const [topic, cursor] of Object.entries(cursors)) {
      if (!this.#cursors.has(topic)) this.#cursors.set(topic, cursor)
    }
  }

  #onEvent(frame: EventFrame<Gap>): void {
    switch (frame.event) {
      case 'caught-up':
        return this.#tell({
          type: 'caught-up',
          cursors: Object.fromEntries(this.#cursors),
          ...(frame.isolated && { isolated: true }),
        })
      case 'gap':
        if (frame.cursor !== undefined) this.#cursors.set(frame.topic, frame.cursor)
        return this.#tell({ type: 'gap', topic: frame.topic, gap: frame.gap })
      case 'partition':
        return this.#tell({ type: 'partition', reachable: frame.reachable, known: frame.known })
      case 'healed':
        return this.#tell({ type: 'healed' })
      case 'deleted':
        this.#cursors.delete(frame.topic)
        this.#seen.forget(frame.topic)
        return this.#tell({ type: 'deleted', topic: frame.topic })
    }
  }

  /** The peer has ended it. */
  #onError(error: MeshError): void {
    if (!error.retryable) return this.failed(error)
    this.#tell({ type: 'interrupted', error, retryInMs: askAgainMs })
    const socket = this.#socket
    this.#askAgain = setTimeout(() => {
      if (socket !== undefined && socket === this.#socket) this.opened(socket)
    }, askAgainMs)
  }
}

type RecordRun = [ReceivedRecord, ...ReceivedRecord[]]

/** Records with consecutive numbers of one producer together; also those without, for as long as there is none. */
function runsOf(records: readonly ReceivedRecord[]): readonly RecordRun[] {
  const runs: RecordRun[] = []
  let run: RecordRun | undefined
  for (const record of records) {
    if (run !== undefined && goesOn(run, record)) run.push(record)
    else runs.push((run = [record]))
  }
  return runs
}

function goesOn(run: RecordRun, { producer }: ReceivedRecord): boolean {
  const [{ producer: first }] = run
  if (first === undefined || producer === undefined) return first === producer
  return producer.seq === first.seq + run.length && producer.epoch === first.epoch && producer.id === first.id
}
