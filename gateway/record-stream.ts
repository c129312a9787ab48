import { limits } from '#protocol/limits'
import type { Broker, ReadChunk, Reader, ReadGap } from './broker.ts'
import { returnMs } from './farewell.ts'
import type { Principal } from './auth/principal.ts'
import type { LiveReads } from './live-reads.ts'
import { type MeshNews, MeshWatch } from './mesh-news.ts'
import { fairShare, recordsOfRead } from './overload.ts'
import { pacedText } from './paced-text.ts'
import type { Problem } from './problem.ts'

/** How a stream of records looks on the wire: server-sent events or NDJSON. */
export interface StreamFormat {
  /** Is a cursor told with each record? Else after those of each read. */
  readonly hasCursorPerRecord: boolean
  /** The first that is said, if anything. */
  opened(retryMs: number): string
  told(news: StreamNews): string
  /** A stream of several topics: where it stands before anything was told. */
  begun(cursor: string): string
  /** Of several topics one was deleted; another may be made under its name. */
  deleted(topic: string, cursor: string): string
  mesh(news: MeshNews): string
  /** Said when nothing else was for a while. */
  idle(cursor: string): string
  bye(farewell: Farewell): string
  problem(problem: Problem): string
}

/** What one read of the log brought. */
export interface StreamNews {
  /** Come before the records. */
  readonly gaps: readonly (ReadGap & { readonly topic?: string })[]
  readonly records: ReadChunk['records']
  /** After all of them. */
  readonly cursor: string
  /**
   * Told once: when the reader first has everything that is kept. `isolated`, before that maybe: it has all that can be had
   * here, and nobody who keeps the topic can be reached.
   */
  readonly caughtUp?: 'fully' | 'isolated'
}

export interface Farewell {
  readonly reason: 'draining'
  /** Gateways of other peers that a client can go on at. */
  readonly alternatives: readonly string[]
  readonly retryMs: number
}

export interface RecordStreamDeps {
  /** Whom it is for: it ends with the problem when they are trusted no more. */
  readonly principal: Pick<Principal, 'fault' | 'onFault'>
  readonly reader: Reader
  readonly format: StreamFormat
  readonly liveReads: LiveReads
  readonly mesh: Pick<Broker, 'reachability' | 'onMeshChange'>
  /** True once the peer accepts no more work. */
  readonly draining: () => boolean
  readonly alternatives: () => readonly string[]
  readonly problemOf: (error: unknown) => Problem
}

export interface RecordStreamConfig {
  readonly heartbeatMs: number
  readonly streamRecordsPerRead: number
  readonly unsentBytesMax: number
  /** False: the stream ends when it has caught up. */
  readonly follow: boolean
}

/**
 * One reader as a stream. The socket paces it, so at most one read of the log waits for a slow client and nobody else
 * notices (DESIGN §8). Throws OVERLOADED when there are too many live reads; its place is given back when it ends.
 */
export function recordStream(deps: RecordStreamDeps, config: RecordStreamConfig): ReadableStream<Uint8Array> {
  const stream = new RecordStream(deps, config)
  return pacedText(stream.texts(), () => stream.end())
}

class RecordStream {
  readonly #deps: RecordStreamDeps
  readonly #config: RecordStreamConfig
  readonly #leave: () => void
  readonly #heartbeat: NodeJS.Timeout
  readonly #meshWatch = new MeshWatch()
  #meshNews: MeshNews | undefined
  readonly #forgetMesh: () => void
  readonly #forgetPrincipal: () => void
  /** Aborted by heartbeat, news of the mesh, drain and end, to have a word with a reader that waits. */
  #wait = new AbortController()
  #ended = false

  constructor(deps: RecordStreamDeps, config: RecordStreamConfig) {
    this.#deps = deps
    this.#config = config
    this.#leave = deps.liveReads.begin(() => this.#wait.abort())
    this.#forgetPrincipal = deps.principal.onFault(() => this.#wait.abort())
    this.#heartbeat = setTimeout(() => this.#wait.abort(), config.heartbeatMs)
    this.#forgetMesh = config.follow ? deps.mesh.onMeshChange(() => this.#onMesh()) : () => {}
    if (config.follow) this.#onMesh()
  }

  end(): void {
    this.#ended = true
    clearTimeout(this.#heartbeat)
    this.#leave()
    this.#forgetMesh()
    this.#forgetPrincipal()
    this.#wait.abort()
  }

  #onMesh(): void {
    // Of several that could not be told yet, the last one counts.
    this.#meshNews = this.#meshWatch.change(this.#deps.mesh.reachability()) ?? this.#meshNews
    if (this.#meshNews !== undefined) this.#wait.abort()
  }

  async *texts(): AsyncGenerator<string, void> {
    const { format, problemOf } = this.#deps
    const opening = format.opened(returnMs())
    if (opening !== '') yield opening
    try {
      yield* this.#records()
    } catch (error) {
      yield format.problem(problemOf(error))
    }
  }

  async *#records(): AsyncGenerator<string, void> {
    const { reader, draining, format, liveReads, principal } = this.#deps
    let told: StreamNews['caughtUp']
    while (!this.#ended && !draining()) {
      const fault = principal.fault()
      if (fault !== undefined) throw fault
      const { streamRecordsPerRead, unsentBytesMax } = this.#config
      const bytesTarget = fairShare(unsentBytesMax, liveReads.count, limits.socketReadBytesTarget)
      const cursorLength = format.hasCursorPerRecord ? reader.cursor.length : 0
      const limit = recordsOfRead(streamRecordsPerRead, bytesTarget, cursorLength)
      const { gaps = [], records, cursor, ...chunk } = await reader.next(limit, bytesTarget)
      const caughtUp = isNews(caughtUpOf(chunk), told) ? caughtUpOf(chunk) : undefined
      told = caughtUp ?? told
      const news = { gaps, records, cursor, ...(caughtUp && { caughtUp }) }
      const text = format.told(news) + this.#takeMeshNews()
      if (text !== '') yield text
      if (told !== undefined && !this.#config.follow) return
      if (text === '') yield* this.#idle()
    }
    yield format.bye({ reason: 'draining', alternatives: this.#deps.alternatives(), retryMs: returnMs() })
  }

  #takeMeshNews(): string {
    const news = this.#meshNews
    this.#meshNews = undefined
    return news === undefined ? '' : this.#deps.format.mesh(news)
  }

  async *#idle(): AsyncGenerator<string, void> {
    const { reader, draining, format, principal } = this.#deps
    this.#heartbeat.refresh()
    await reader.more(this.#wait.signal)
    if (!this.#wait.signal.aborted || this.#ended) return
    this.#wait = new AbortController()
    if (!draining() && principal.fault() === undefined && this.#meshNews === undefined) yield format.idle(reader.cursor)
  }
}

const caughtUpOf = ({ upToDate, isolated }: Pick<ReadChunk, 'upToDate' | 'isolated'>): StreamNews['caughtUp'] =>
  upToDate ? (isolated === true ? 'isolated' : 'fully') : undefined

const isNews = (now: StreamNews['caughtUp'], told: StreamNews['caughtUp']): boolean =>
  now !== undefined && (told === undefined || (told === 'isolated' && now === 'fully'))
