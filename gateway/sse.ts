import type { ReadChunk, Reader } from './broker.ts'
import type { LiveReads } from './live-reads.ts'
import type { Problem } from './problem.ts'
import { recordJson } from './record-json.ts'

/**
 * One reader as server-sent events (HTML standard §9.2). The socket paces it: `pull` runs when the socket has taken what
 * was there before, so at most one read of the log waits for a slow client and nobody else notices (DESIGN §8).
 *
 * Events: one per record, unnamed, its `id` the cursor after it · `caught-up` once, when the reader first has everything
 * held here · `gap` where records are missing (P5) · `bye` and the end when the peer drains · `problem` and the end when reading fails. A comment when idle.
 */
export interface RecordEventsDeps {
  readonly reader: Reader
  readonly liveReads: LiveReads
  /** True once the peer accepts no more work. */
  readonly draining: () => boolean
  /** Gateways of other peers that a client can go on at. */
  readonly alternatives: () => readonly string[]
  readonly problemOf: (error: unknown) => Problem
}

export interface RecordEventsConfig {
  readonly heartbeatMs: number
  readonly streamRecordsPerRead: number
}

/** Throws OVERLOADED when there are too many live reads. Its place is given back when the stream ends. */
export function recordEvents(deps: RecordEventsDeps, config: RecordEventsConfig): ReadableStream<Uint8Array> {
  const events = new RecordEvents(deps, config)
  return new ReadableStream(
    { pull: (controller) => events.pull(controller), cancel: () => events.end() },
    // Nothing is read ahead: see above.
    { highWaterMark: 0 },
  )
}

/** How soon EventSource comes back after an end; spread out, so that a restarted peer is not met by everybody at once. */
const retryMsMin = 500
const retryMsMax = 3_000
const retryMs = (): number => Math.round(retryMsMin + Math.random() * (retryMsMax - retryMsMin))

class RecordEvents {
  readonly #deps: RecordEventsDeps
  readonly #config: RecordEventsConfig
  readonly #leave: () => void
  readonly #heartbeat: NodeJS.Timeout
  readonly #texts = this.#story()
  readonly #encoder = new TextEncoder()
  /** Aborted by heartbeat, drain and end, to have a word with a reader that waits. */
  #wait = new AbortController()
  /** Where each feed waits that was told to be late. */
  readonly #lateFrom = new Map<string, number>()
  #ended = false

  constructor(deps: RecordEventsDeps, config: RecordEventsConfig) {
    this.#deps = deps
    this.#config = config
    this.#leave = deps.liveReads.begin(() => this.#wait.abort())
    this.#heartbeat = setTimeout(() => this.#wait.abort(), config.heartbeatMs)
  }

  async pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    const { done, value } = await this.#texts.next()
    // The client went while we waited: its stream is closed already.
    if (this.#ended) return
    this.#heartbeat.refresh()
    if (!done) return controller.enqueue(this.#encoder.encode(value))
    this.end()
    controller.close()
  }

  end(): void {
    this.#ended = true
    clearTimeout(this.#heartbeat)
    this.#leave()
    this.#wait.abort()
  }

  async *#story(): AsyncGenerator<string, void> {
    yield `retry: ${retryMs()}\n\n`
    try {
      yield* this.#records()
    } catch (error) {
      yield eventText({ event: 'problem', data: this.#deps.problemOf(error) })
      return
    }
    yield this.#bye()
  }

  async *#records(): AsyncGenerator<string, void> {
    const { reader, draining } = this.#deps
    let caughtUp = false
    while (!this.#ended && !draining()) {
      const chunk = await reader.next(this.#config.streamRecordsPerRead)
      let text = this.#gaps(chunk) + chunk.records.map(recordEvent).join('')
      if (!caughtUp && chunk.upToDate) {
        caughtUp = true
        text += eventText({ event: 'caught-up', id: chunk.cursor, data: { cursor: chunk.cursor } })
      }
      if (text !== '') yield text
      else yield* this.#idle()
    }
  }

  /** Told before the records that come after them. A feed that still waits where it did is not told again. */
  #gaps({ gaps = [], records, cursor }: ReadChunk): string {
    const news = gaps.filter((gap) => gap.type === 'lost' || this.#lateFrom.get(gap.feed) !== gap.from)
    for (const { feed, from } of news) this.#lateFrom.set(feed, from)
    return news
      .map((gap) => eventText({ event: 'gap', ...(records.length === 0 && { id: cursor }), data: gap }))
      .join('')
  }

  async *#idle(): AsyncGenerator<string, void> {
    await this.#deps.reader.more(this.#wait.signal)
    if (!this.#wait.signal.aborted || this.#ended) return
    this.#wait = new AbortController()
    if (!this.#deps.draining()) yield ':\n\n'
  }

  #bye(): string {
    const ms = retryMs()
    const data = { reason: 'draining', alternatives: this.#deps.alternatives(), retryMs: ms }
    return eventText({ event: 'bye', data, retry: ms })
  }
}

const recordEvent = ({ record, cursor }: ReadChunk['records'][number]): string =>
  `id: ${cursor}\ndata: ${recordJson(record)}\n\n`

/** JSON has no line ends of its own, so one `data:` line holds it. */
const eventText = (fields: { event: string; id?: string; retry?: number; data: unknown }): string =>
  `${Object.entries({ ...fields, data: JSON.stringify(fields.data) })
    .map(([name, value]) => `${name}: ${value}\n`)
    .join('')}\n`
