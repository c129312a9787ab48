import { limits } from '#protocol/limits'
import type { TopicName, TopicPattern } from '#protocol/topic-name'
import type { EventFrame, PeerFrame, SocketLimits } from '#protocol/wire/socket-frames'
import type { Broker, Reachability, ReadChunk, Reader, ReadGap } from './broker.ts'
import { anonymous, type Principal } from './auth/principal.ts'
import { CursorSet } from './cursor-set.ts'
import { returnMs } from './farewell.ts'
import type { LiveReads } from './live-reads.ts'
import { recordsOfRead } from './overload.ts'
import { pacedText } from './paced-text.ts'
import type { Problem } from './problem.ts'
import type { StreamFormat } from './record-stream.ts'
import { StrictReader } from './strict-reader.ts'
import type { SubscribeFrom } from './ws/client-frame.ts'
import { Session, type SessionInput, type SessionOrder } from './ws/session.ts'
import { SessionReaders } from './ws/session-readers.ts'
import { areForTopic, type ReaderNumber } from './ws/subscription.ts'

export interface TopicsStreamDeps {
  readonly broker: Pick<
    Broker,
    'self' | 'open' | 'started' | 'readableTopics' | 'onTopic' | 'reachability' | 'onMeshChange'
  >
  /** Whom it is for: it ends with the problem when they are trusted no more. */
  readonly principal: Pick<Principal, 'onFault'>
  /** Others are passed over, whatever matches. */
  readonly mayRead: (topic: TopicName) => boolean
  readonly format: StreamFormat
  readonly liveReads: LiveReads
  readonly draining: () => boolean
  readonly alternatives: () => readonly string[]
  readonly problemOf: (error: unknown) => Problem
}

export interface WantedTopics {
  readonly patterns: readonly TopicPattern[]
  readonly from: SubscribeFrom
  /** It ends with RECORDS_LOST instead of going on behind what is not kept any more. */
  readonly strict: boolean
  /** False: it ends when all topics that are known at the beginning have been told to their ends. */
  readonly follow: boolean
}

export interface TopicsStreamConfig {
  readonly heartbeatMs: number
  readonly streamRecordsPerRead: number
  readonly unsentBytesMax: number
}

/**
 * Several topics, and those that come to match, as one stream; where each stands is told as a set of cursors. It is the
 * session of a WebSocket (`ws/session.ts`) with one subscription: here the credit is that the client takes what it is told.
 * Each topic is a live read, and so is the stream. Rejects with what is wrong with the start, or OVERLOADED.
 */
export async function topicsStream(
  deps: TopicsStreamDeps,
  wanted: WantedTopics,
  config: TopicsStreamConfig,
  signal: AbortSignal,
): Promise<ReadableStream<Uint8Array>> {
  // As a reader of one topic does: an EventSource that is answered 503 never asks again.
  await deps.broker.started()
  const stream = new TopicsStream(deps, wanted, config)
  const end = (): void => stream.end()
  signal.addEventListener('abort', end)
  try {
    await stream.begin()
  } catch (error) {
    end()
    throw error
  } finally {
    signal.removeEventListener('abort', end)
  }
  return pacedText(stream.texts(), end)
}

const sub = 'stream'
const noMesh: Reachability = { reachable: [], known: [] }

const sessionLimits: SocketLimits = {
  frameBytes: 0,
  subscriptions: 1,
  topics: limits.streamTopicsMax,
  credit: Number.MAX_SAFE_INTEGER,
  publishesInFlight: 0,
}

class TopicsStream {
  readonly #deps: TopicsStreamDeps
  readonly #wanted: WantedTopics
  readonly #session: Session
  readonly #readers: SessionReaders<Reader>
  readonly #cursors: CursorSet
  readonly #topics = new Map<ReaderNumber, TopicName>()
  readonly #ends: (() => void)[] = []
  readonly #heartbeat: NodeJS.Timeout
  readonly #inputs: SessionInput[] = []
  readonly #begun = Promise.withResolvers<void>()
  #handling = false
  #hasBegun = false
  /** Nothing more is read. What was said before that is still told. */
  #ended = false
  /** What the client has not taken yet. While there is any, nothing is read, and news of the mesh and of topics waits. */
  #text = ''
  #behind = false
  #meshWaits = false
  #topicsWait = false
  #wake: () => void = () => {}

  constructor(deps: TopicsStreamDeps, wanted: WantedTopics, config: TopicsStreamConfig) {
    const { heartbeatMs, streamRecordsPerRead, unsentBytesMax } = config
    const { broker, format, liveReads, draining } = deps
    this.#deps = deps
    this.#wanted = wanted
    this.#cursors = new CursorSet(wanted.from.type === 'cursors' ? wanted.from.cursors : undefined)
    this.#session = new Session({
      peer: broker.self.name,
      limits: sessionLimits,
      isBinary: false,
      recordsPerRead: streamRecordsPerRead,
      // What it may read is decided here.
      principal: () => anonymous,
      topics: () => this.#readableTopics(),
    })
    this.#readers = new SessionReaders<Reader>({
      open: async (...asked) => {
        const reader = await broker.open(...asked)
        return wanted.strict ? new StrictReader(reader) : reader
      },
      liveReads,
      kind: 'stream',
      draining,
      unsentBytesMax,
      next: (reader, limit, bytesTarget) => {
        const cursorLength = format.hasCursorPerRecord ? this.#cursors.text.length : 0
        return reader.next(recordsOfRead(limit, bytesTarget, cursorLength), bytesTarget)
      },
      tell: (input) => this.#tell(input),
      drain: () => this.#drain(),
    })
    this.#ends.push(
      liveReads.begin(() => this.#drain()),
      deps.principal.onFault((fault) => this.#fail(fault)),
    )
    this.#heartbeat = setTimeout(() => this.#beat(), heartbeatMs)
  }

  /** Resolves once all topics of the beginning are open. */
  begin(): Promise<void> {
    const { broker } = this.#deps
    const { patterns, from, follow } = this.#wanted
    if (follow)
      this.#ends.push(
        broker.onTopic((topic) => this.#onTopic(topic)),
        broker.onMeshChange(() => this.#onMesh()),
      )
    this.#tell({ type: 'connected', mesh: follow ? broker.reachability() : noMesh, servers: [] })
    const credit = Number.MAX_SAFE_INTEGER
    this.#tell({ type: 'frame', frame: { type: 'subscribe', sub, patterns, from, credit } })
    if (this.#deps.draining()) this.#drain()
    return this.#begun.promise
  }

  #readableTopics(): readonly TopicName[] {
    return this.#deps.broker.readableTopics().filter((topic) => this.#wants(topic))
  }

  end(): void {
    this.#ended = true
    clearTimeout(this.#heartbeat)
    for (const end of this.#ends.splice(0)) end()
    this.#readers.closeAll()
    this.#begun.resolve()
    this.#wake()
  }

  /** Resumed when the client has taken the text before. */
  async *texts(): AsyncGenerator<string, void> {
    const opening = this.#deps.format.opened(returnMs())
    if (opening !== '') yield opening
    for (;;) {
      const text = this.#text
      this.#text = ''
      if (text !== '') yield text
      else if (this.#ended) return
      else await this.#more()
    }
  }

  #more(): Promise<void> {
    const more = new Promise<void>((resolve) => (this.#wake = resolve))
    this.#heartbeat.refresh()
    if (this.#behind) {
      this.#behind = false
      this.#tell({ type: 'socketReady' })
      this.#tellWaiting()
    }
    return more
  }

  #beat(): void {
    if (this.#ended || this.#text !== '') return
    this.#try(() => this.#say(this.#deps.format.idle(this.#cursors.text)))
  }

  #drain(): void {
    this.#tell({ type: 'draining', servers: this.#deps.alternatives(), retryMs: returnMs() })
  }

  #wants(topic: TopicName): boolean {
    return areForTopic(this.#wanted.patterns, topic) && this.#deps.mayRead(topic)
  }

  /** What cannot be told now is not kept: a client that does not read costs no memory. */
  #onTopic(topic: TopicName): void {
    if (!this.#wants(topic)) return
    if (this.#behind) this.#topicsWait = true
    else this.#tell({ type: 'topicAppeared', topic })
  }

  /** Likewise; of several the last one counts. */
  #onMesh(): void {
    if (this.#behind) this.#meshWaits = true
    else this.#tellMesh()
  }

  #tellMesh(): void {
    this.#tell({ type: 'meshChanged', mesh: this.#deps.broker.reachability() })
  }

  #tellWaiting(): void {
    if (this.#meshWaits) this.#tellMesh()
    this.#meshWaits = false
    if (!this.#topicsWait) return
    this.#topicsWait = false
    for (const topic of this.#readableTopics()) this.#tell({ type: 'topicAppeared', topic })
  }

  // Inputs in, orders out -----------------------------------------------------------------------------------------------

  #tell(input: SessionInput): void {
    this.#inputs.push(input)
    if (this.#handling) return
    this.#handling = true
    for (let next = this.#inputs.shift(); next !== undefined; next = this.#inputs.shift()) {
      const now = next
      if (!this.#ended) this.#try(() => this.#handle(now))
    }
    this.#handling = false
  }

  #handle(input: SessionInput): void {
    if (input.type === 'opened') this.#standsAt(input.reader, input.cursor)
    for (const order of this.#session.handle(input)) this.#perform(order)
    if (input.type === 'read') this.#standsAt(input.reader, input.chunk.cursor)
    if (this.#text === '' || this.#behind) return
    this.#behind = true
    this.#inputs.push({ type: 'socketBehind' })
  }

  #standsAt(reader: ReaderNumber, cursor: string): void {
    const topic = this.#topics.get(reader)
    if (topic !== undefined && cursor !== '') this.#cursors.set(topic, cursor)
  }

  #try(act: () => void): void {
    try {
      act()
    } catch (error) {
      this.#fail(error)
    }
  }

  #perform(order: SessionOrder): void {
    if (this.#ended && order.type !== 'closeReader') return
    switch (order.type) {
      case 'send':
        return this.#onFrame(order.frame)
      case 'sendProblem':
        return this.#fail(order.error)
      case 'sendRecords':
        return this.#tellRecords(order.records)
      case 'open':
        this.#topics.set(order.reader, order.topic)
        return void this.#readers.open(order)
      case 'read':
        return void this.#readers.read(order)
      case 'waitForMore':
        return void this.#readers.waitForMore(order)
      case 'closeReader':
        this.#topics.delete(order.reader)
        return this.#readers.close(order)
      case 'close':
        return this.end()
      case 'sendBatches':
      case 'publish':
        // Of sockets.
        return
    }
  }

  // Saying --------------------------------------------------------------------------------------------------------------

  #onFrame(frame: PeerFrame): void {
    const { format } = this.#deps
    switch (frame.type) {
      case 'subscribed':
        this.#say(format.begun(this.#cursors.text))
        this.#hasBegun = true
        return this.#begun.resolve()
      case 'event':
        return this.#onEvent(frame as EventFrame<ReadGap>)
      case 'bye':
        this.#begun.resolve()
        return this.#say(format.bye({ reason: frame.reason, alternatives: frame.servers, retryMs: frame.retryMs }))
      case 'welcome':
      case 'record':
      case 'published':
      case 'error':
        // Of sockets, or said in another way here.
        return
    }
  }

  #onEvent(frame: EventFrame<ReadGap>): void {
    const { format } = this.#deps
    switch (frame.event) {
      case 'caught-up': {
        const caughtUp = frame.isolated === true ? 'isolated' : 'fully'
        this.#say(format.told({ gaps: [], records: [], cursor: this.#cursors.text, caughtUp }))
        return this.#wanted.follow ? undefined : this.end()
      }
      case 'gap': {
        const topic = frame.topic as TopicName
        if (frame.cursor !== undefined) this.#cursors.set(topic, frame.cursor)
        return this.#say(format.told({ gaps: [{ topic, ...frame.gap }], records: [], cursor: this.#cursors.text }))
      }
      case 'partition':
        return this.#say(format.mesh({ event: 'partition', reachable: frame.reachable, known: frame.known }))
      case 'healed':
        return this.#say(format.mesh({ event: 'healed' }))
      case 'deleted':
        this.#cursors.delete(frame.topic as TopicName)
        return this.#say(format.deleted(frame.topic, this.#cursors.text))
    }
  }

  #tellRecords(records: ReadChunk['records']): void {
    const topic = records[0]?.record.topic as TopicName
    const setOf = this.#cursors.around(topic)
    const told = records.map(({ record, cursor }) => ({ record, cursor: setOf(cursor) }))
    const cursor = told.at(-1)?.cursor ?? ''
    this.#cursors.set(topic, records.at(-1)?.cursor ?? '')
    this.#say(this.#deps.format.told({ gaps: [], records: told, cursor }))
  }

  #say(text: string): void {
    this.#text += text
    this.#wake()
  }

  /** Before anything was told it is the answer to the request. */
  #fail(error: unknown): void {
    if (this.#ended) return
    if (this.#hasBegun) this.#say(this.#deps.format.problem(this.#deps.problemOf(error)))
    else this.#begun.reject(error)
    this.end()
  }
}
