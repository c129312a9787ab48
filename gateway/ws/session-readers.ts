import { limits } from '#protocol/limits'
import type { TopicName } from '#protocol/topic-name'
import type { BatchChunk, ReadChunk, Reader, ReadFrom } from '../broker.ts'
import type { LiveReads } from '../live-reads.ts'
import type { LiveReadKind } from '../metrics.ts'
import { fairShare } from '../overload.ts'
import type { SessionInput, SessionOrder } from './session.ts'
import type { ReaderNumber } from './subscription.ts'

export interface SessionReadersDeps<R extends Reader> {
  /** As that of the broker. */
  readonly open: (topic: TopicName, from: ReadFrom) => Promise<R>
  readonly liveReads: LiveReads
  readonly kind: LiveReadKind
  readonly draining: () => boolean
  /** How a reader is read on. */
  readonly next: (reader: R, limit: number, bytesTarget: number) => Promise<ReadChunk | BatchChunk>
  /** How much one read may bring; all of them share what may wait to be sent. */
  readonly unsentBytesMax: number
  readonly tell: (input: SessionInput) => void
  /** A broker that drains has nothing more to say, and would wake readers for ever. */
  readonly drain: () => void
}

type OrderOf<Type extends SessionOrder['type']> = Extract<SessionOrder, { type: Type }>

/** The readers of one session: does what it orders with them, and tells it what comes of that. Each is a live read. */
export class SessionReaders<R extends Reader> {
  readonly #deps: SessionReadersDeps<R>
  readonly #readers = new Map<ReaderNumber, ServedReader<R>>()

  constructor(deps: SessionReadersDeps<R>) {
    this.#deps = deps
  }

  async open({ reader, topic, from }: OrderOf<'open'>): Promise<void> {
    const { liveReads, kind, tell } = this.#deps
    try {
      const served: ServedReader<R> = { leave: liveReads.begin(() => {}, kind), end: new AbortController() }
      this.#readers.set(reader, served)
      served.reader = await this.#deps.open(topic, from)
      tell({ type: 'opened', reader, cursor: served.reader.cursor })
    } catch (error) {
      tell({ type: 'openFailed', reader, error })
    }
  }

  /** Answered in any case: the session has one read under way. */
  async read({ reader: number, limit }: OrderOf<'read'>): Promise<void> {
    try {
      const reader = this.#readers.get(number)?.reader
      const { unsentBytesMax, liveReads } = this.#deps
      const bytesTarget = fairShare(unsentBytesMax, liveReads.count, limits.socketReadBytesTarget)
      const chunk = reader === undefined ? nothing : await this.#deps.next(reader, limit, bytesTarget)
      this.#deps.tell({ type: 'read', reader: number, chunk })
    } catch (error) {
      this.#deps.tell({ type: 'readFailed', reader: number, error })
    }
  }

  async waitForMore({ reader: number }: OrderOf<'waitForMore'>): Promise<void> {
    const served = this.#readers.get(number)
    await served?.reader?.more(served.end.signal)
    if (this.#deps.draining()) return this.#deps.drain()
    this.#deps.tell({ type: 'advanced', reader: number })
  }

  close({ reader: number }: OrderOf<'closeReader'>): void {
    const served = this.#readers.get(number)
    if (served === undefined) return
    this.#readers.delete(number)
    served.end.abort()
    served.leave()
  }

  closeAll(): void {
    for (const reader of this.#readers.keys()) this.close({ type: 'closeReader', reader })
  }
}

interface ServedReader<R> {
  reader?: R
  /** Aborted when it is closed. */
  readonly end: AbortController
  readonly leave: () => void
}

const nothing: ReadChunk = { records: [], cursor: '', upToDate: false }
