import { pause } from '#client/backoff'
import { connect, type Mesh } from '#client/mesh'
import type { Ledger } from '#lab/ledger/ledger'
import { ReadingLog } from '#lab/ledger/reading-log'
import type { Dice } from '../sim/dice.ts'

const ackLevels = ['local', 'local', 'n:2', 'majority', 'all'] as const
const recordsPerPublishMax = 100

export interface ClientParts {
  readonly name: string
  /** The one server that it is given; the others it learns. */
  readonly server: string
  readonly dice: Dice
}

/** How long a client was without a server, each time: until something came of the next one. */
export class Resumptions {
  readonly tookMs: number[] = []
  #brokeAtMs: number | undefined

  broke(): void {
    this.#brokeAtMs ??= performance.now()
  }

  works(): void {
    if (this.#brokeAtMs === undefined) return
    this.tookMs.push(performance.now() - this.#brokeAtMs)
    this.#brokeAtMs = undefined
  }
}

/** Publishes one batch after the other by the library, which numbers and repeats by itself. */
export class Publisher {
  readonly resumptions = new Resumptions()
  readonly #mesh: Mesh
  readonly #topic: string
  readonly #parts: ClientParts
  #nextSeq = 0
  /** Sockets that have ended, by which a publish may have been sent once more. */
  #breaks = 0

  private constructor(mesh: Mesh, topic: string, parts: ClientParts) {
    this.#mesh = mesh
    this.#topic = topic
    this.#parts = parts
  }

  static async start(topic: string, parts: ClientParts): Promise<Publisher> {
    return new Publisher(await connect({ servers: [parts.server] }), topic, parts)
  }

  /** Goes on until the signal, and then until the last one is answered. */
  async run(ledger: Ledger, signal: AbortSignal): Promise<void> {
    const { name: writer, dice } = this.#parts
    void this.#watch()
    while (!signal.aborted) {
      const count = dice.magnitude(1, recordsPerPublishMax)
      const breaks = this.#breaks
      const plan = {
        writer,
        topic: this.#topic,
        firstSeq: this.#nextSeq,
        count,
        level: dice.pick(ackLevels),
        wait: '2s',
      }
      const sends = (): number => 1 + this.#breaks - breaks
      const { type } = await ledger.publish({ name: writer, client: this.#mesh }, { ...plan, sends })
      if (type === 'ok') this.resumptions.works()
      this.#nextSeq += count
      await pause(dice.magnitude(1, 50), signal).catch(() => undefined)
    }
    this.#mesh.close()
  }

  async #watch(): Promise<void> {
    let wasConnected = false
    try {
      for await (const { state } of this.#mesh.status()) {
        // Between two publishes the connection stays as long as somebody needs it: what is idle is not broken.
        if (wasConnected && state !== 'connected' && state !== 'idle') {
          this.#breaks++
          this.resumptions.broke()
        }
        wasConnected = state === 'connected' || (wasConnected && state === 'idle')
      }
    } catch {
      // It was closed.
    }
  }
}

/** Reads topics from their earliest records on, wherever that goes on. */
export class Subscriber {
  readonly resumptions = new Resumptions()
  /** By topic. */
  readonly logs: ReadonlyMap<string, ReadingLog>
  readonly #mesh: Mesh

  private constructor(mesh: Mesh, topics: readonly string[], name: string) {
    this.#mesh = mesh
    // It is to be given each record once, though it moves: the library drops what comes again.
    this.logs = new Map(topics.map((topic) => [topic, new ReadingLog(name, topic)]))
  }

  static async start(topics: readonly string[], { server, name }: ClientParts): Promise<Subscriber> {
    return new Subscriber(await connect({ servers: [server] }), topics, name)
  }

  get records(): number {
    return [...this.logs.values()].reduce((sum, { records }) => sum + records, 0)
  }

  async run(signal: AbortSignal): Promise<void> {
    try {
      for await (const item of this.#mesh.stream([...this.logs.keys()], { from: 'earliest', signal })) {
        if (item.type === 'interrupted') this.resumptions.broke()
        if (item.type === 'caught-up' || item.type === 'record') this.resumptions.works()
        if (item.type === 'gap') this.logs.get(item.topic)?.gap(item.gap)
        if (item.type === 'record') this.logs.get(item.record.topic)?.record(item.record)
      }
    } catch (error) {
      if (!signal.aborted) throw error
    } finally {
      this.#mesh.close()
    }
  }
}
