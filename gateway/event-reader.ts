import type { MeshEvent, MeshEventGap } from '#protocol/views'
import type { MeshEventLog } from './broker.ts'

export type EventsFrom = { readonly type: 'earliest' | 'latest' } | { readonly type: 'after'; readonly id: string }

/** What there was, and what was missed before that. */
export interface EventChunk {
  readonly gap?: MeshEventGap
  readonly events: readonly MeshEvent[]
}

/** One reader of the events of the mesh: a position. Whoever is too slow is told how many have gone. */
export class EventReader {
  readonly #log: MeshEventLog
  #position: number
  #gap: MeshEventGap | undefined

  constructor(log: MeshEventLog, from: EventsFrom) {
    this.#log = log
    this.#position = from.type === 'latest' ? log.end : log.start
    if (from.type !== 'after') return
    const position = log.positionOf(from.id)
    if (position === undefined) this.#gap = { reason: 'other-boot' }
    else this.#position = position
  }

  /** The id to go on after. */
  get last(): string | undefined {
    return this.#position === 0 ? undefined : this.#log.idAt(this.#position)
  }

  next(max: number): EventChunk {
    const missed = this.#log.start - this.#position
    const gap = missed > 0 ? ({ reason: 'moved-on', missed } as const) : this.#gap
    this.#gap = undefined
    const events = this.#log.read(this.#position, max)
    this.#position = Math.max(this.#position, this.#log.start) + events.length
    return { events, ...(gap && { gap }) }
  }
}
