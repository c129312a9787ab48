import type { MeshEventLog } from './broker.ts'
import type { Principal } from './auth/principal.ts'
import type { EventReader } from './event-reader.ts'
import { returnMs } from './farewell.ts'
import type { LiveReads } from './live-reads.ts'
import { pacedText } from './paced-text.ts'
import type { Problem } from './problem.ts'
import { eventText, serverSentEvents } from './sse.ts'

export interface EventStreamDeps {
  /** Whom it is for: it ends with the problem when they are trusted no more. */
  readonly principal: Pick<Principal, 'fault' | 'onFault'>
  readonly problemOf: (error: unknown) => Problem
  readonly reader: EventReader
  readonly log: MeshEventLog
  readonly liveReads: LiveReads
  readonly draining: () => boolean
  readonly alternatives: () => readonly string[]
  readonly heartbeatMs: number
}

/** A few hundred bytes each: about what a socket takes in one write. */
const eventsPerRead = 64

/**
 * Events of the mesh as server-sent events: unnamed, as records are; `gap` where some were missed. Paced by the socket, and
 * counted among the live reads. Throws OVERLOADED when there are too many of those.
 */
export function eventStream(deps: EventStreamDeps): ReadableStream<Uint8Array> {
  const stream = new EventStream(deps)
  return pacedText(stream.texts(), () => stream.end())
}

class EventStream {
  readonly #deps: EventStreamDeps
  readonly #ends: readonly (() => void)[]
  readonly #heartbeat: NodeJS.Timeout
  #wake: () => void = () => {}
  #ended = false

  constructor(deps: EventStreamDeps) {
    this.#deps = deps
    const wake = (): void => this.#wake()
    this.#ends = [deps.liveReads.begin(wake), deps.log.onEvent(wake), deps.principal.onFault(wake)]
    this.#heartbeat = setTimeout(wake, deps.heartbeatMs)
  }

  end(): void {
    this.#ended = true
    clearTimeout(this.#heartbeat)
    for (const end of this.#ends) end()
    this.#wake()
  }

  async *texts(): AsyncGenerator<string, void> {
    const { draining, alternatives, principal, problemOf } = this.#deps
    yield serverSentEvents.opened(returnMs())
    while (!this.#ended && !draining()) {
      const fault = principal.fault()
      if (fault !== undefined) return yield serverSentEvents.problem(problemOf(fault))
      const text = this.#news()
      if (text !== '') yield text
      else if (await this.#silence()) yield serverSentEvents.idle('')
    }
    yield serverSentEvents.bye({ reason: 'draining', alternatives: alternatives(), retryMs: returnMs() })
  }

  #news(): string {
    const { gap, events } = this.#deps.reader.next(eventsPerRead)
    const missing = gap === undefined ? '' : eventText({ event: 'gap', data: gap })
    return missing + events.map((event) => eventText({ id: event.id, data: event })).join('')
  }

  /** Waits for something to say. True if there was nothing for a heartbeat. */
  async #silence(): Promise<boolean> {
    const { log, draining, principal } = this.#deps
    const { end } = log
    this.#heartbeat.refresh()
    await new Promise<void>((resolve) => (this.#wake = resolve))
    return log.end === end && !this.#ended && !draining() && principal.fault() === undefined
  }
}
