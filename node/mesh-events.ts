import type { MeshEventLog } from '#gateway/broker'
import { limits } from '#protocol/limits'
import type { MeshEvent, MeshEventType } from '#protocol/views'
import type { Clock } from './driver-ports.ts'
import { Listeners } from './listeners.ts'

/** What an event says beside its type. */
export type EventFields = Pick<MeshEvent, 'text'> & Readonly<Record<string, unknown>>

/**
 * The last events of the mesh as this peer has seen them, numbered from 1 in each boot. Readers have positions, the number of
 * the event before the next: however many there are, and however slow, they cost nothing here.
 */
export class MeshEvents implements MeshEventLog {
  readonly #epoch: string
  readonly #clock: Pick<Clock, 'wallMs'>
  /** A ring: the event with number n is at n % `meshEventsMax`. */
  readonly #ring: MeshEvent[] = []
  readonly #listeners = new Listeners()
  #end = 0

  constructor(epoch: string, clock: Pick<Clock, 'wallMs'>) {
    this.#epoch = epoch
    this.#clock = clock
  }

  add(type: MeshEventType, fields: EventFields): void {
    const number = ++this.#end
    const time = new Date(this.#clock.wallMs()).toISOString()
    this.#ring[number % limits.meshEventsMax] = { id: this.idAt(number), type, time, ...fields }
    this.#listeners.tell()
  }

  get start(): number {
    return Math.max(0, this.#end - limits.meshEventsMax)
  }

  get end(): number {
    return this.#end
  }

  idAt(position: number): string {
    return `${this.#epoch}.${position}`
  }

  positionOf(id: string): number | undefined {
    const [epoch, digits = '', ...rest] = id.split('.')
    const number = /^\d{1,15}$/.test(digits) ? Number(digits) : undefined
    if (epoch !== this.#epoch || rest.length > 0 || number === undefined || number > this.#end) return undefined
    return number
  }

  read(position: number, max: number): readonly MeshEvent[] {
    const from = Math.max(position, this.start)
    const count = Math.max(0, Math.min(max, this.#end - from))
    return Array.from({ length: count }, (_, i) => this.#ring[(from + 1 + i) % limits.meshEventsMax] as MeshEvent)
  }

  onEvent(listener: () => void): () => void {
    return this.#listeners.add(listener)
  }
}
