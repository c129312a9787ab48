import { MeshError } from '#protocol/errors'
import { limits } from '#protocol/limits'
import { LineSplitter } from '#protocol/line-splitter'
import { idsOfRuns } from '#protocol/wire/socket-frames'
import { brokenOff, jsonOf, type Bodies } from './body.ts'
import type { PublishResult, RecordToPublish } from './broker.ts'
import { recordOf } from './publish-body.ts'

/** What holds for all records of these lines: of several publishes that are told in one, the least. */
export interface StoredLines {
  /** First and last. */
  readonly lines: readonly [number, number]
  readonly records: number
  /** Ids of the first and the last record. */
  readonly first: string
  readonly last: string
  readonly cursor: string
  readonly ack: PublishResult['ack']
}

/** No record of this line or a later one was accepted. */
export interface LineFault {
  readonly line: number
  readonly error: unknown
}

export interface LinePublisherDeps {
  readonly publish: (records: readonly RecordToPublish[]) => Promise<PublishResult>
  readonly bodies: Bodies
}

/** What is read while a publish is under way; all of it is the next publish. Higher: fewer, larger fsyncs; more memory. */
const readAheadBytesMax = 256 * 1024

/**
 * Publishes the lines of a body as they come, each a record in JSON. Nothing waits for a batch to fill up.
 *
 * 1. One publish is under way at a time, and what arrives meanwhile is the next one. So records stay in order, and when one
 *    is refused nothing after it has been accepted.
 * 2. The body is read on while there is room for what was read: its client is paced by the disks that it waits for.
 * 3. What is stored is told as the client takes it. If it does not, the news become one: a client that reads nothing before
 *    it has sent everything neither blocks nor costs memory.
 */
export class LinePublisher {
  readonly #deps: LinePublisherDeps
  readonly #lines = new LineSplitter(limits.lineBytesMax)
  #gathered = nothing()
  #heldBytes = 0
  #reading = true
  #underWay: Promise<void> | undefined
  /** Stored, and not told yet. */
  #stored: StoredLines | undefined
  #fault: LineFault | undefined
  #wake: () => void = () => undefined

  constructor(deps: LinePublisherDeps) {
    this.#deps = deps
  }

  /** To the end of the body, or to the first line that is refused. Never rejects: what is wrong is told. */
  async read(body: AsyncIterable<Uint8Array>): Promise<void> {
    try {
      for await (const piece of body) {
        if (this.#fault !== undefined) return
        for (const line of this.#lines.push(piece)) this.#gather(line)
        await this.#makeRoom()
      }
      for (const line of this.#lines.end()) this.#gather(line)
    } catch (error) {
      this.#fault ??= faultAt(this.#lines.nextLine, error instanceof MeshError ? error : brokenOff(error))
    } finally {
      this.#reading = false
      this.#publishNext()
      this.#wake()
    }
  }

  /** What became of the lines, in order; a fault is the last. Ends once nothing more will come. */
  async *told(): AsyncGenerator<StoredLines | LineFault, void> {
    for (;;) {
      const stored = this.#stored
      this.#stored = undefined
      if (stored !== undefined) yield stored
      else if (this.#underWay === undefined && (!this.#reading || this.#fault !== undefined)) break
      else await new Promise<void>((resolve) => (this.#wake = resolve))
    }
    if (this.#fault !== undefined) yield this.#fault
  }

  /** Takes no further line, for this reason. What was taken is published and told. */
  stop(reason: MeshError): void {
    this.#fault ??= faultAt(this.#lines.nextLine, reason)
    this.#wake()
  }

  /** Nobody listens any more. */
  abandon(): void {
    this.stop(new MeshError('BAD_REQUEST', 'The client has gone.'))
    this.#gathered = nothing()
    this.#hold(0)
  }

  #gather(line: Uint8Array): void {
    const number = this.#lines.nextLine - 1
    if (this.#fault !== undefined || isBlank(line)) return
    try {
      this.#gathered.records.push(recordOf(jsonOf(line), 'record'))
    } catch (error) {
      this.#fault = faultAt(number, error)
      return
    }
    this.#gathered.first ||= number
    this.#gathered.last = number
    this.#gathered.bytes += line.length
  }

  async #makeRoom(): Promise<void> {
    const { bodies } = this.#deps
    this.#hold(this.#gathered.bytes + this.#lines.waitingBytes)
    this.#publishNext()
    if (this.#fault !== undefined) this.#wake()
    const room = bodies.roomForReadAhead ? readAheadBytesMax : 0
    while (this.#underWay !== undefined && this.#gathered.bytes >= room) await this.#underWay
    bodies.refuseOverload()
  }

  #publishNext(): void {
    const batch = this.#gathered
    if (this.#underWay !== undefined || batch.records.length === 0) return
    this.#gathered = nothing()
    this.#hold(this.#lines.waitingBytes)
    this.#underWay = this.#publish(batch).then(() => {
      this.#underWay = undefined
      this.#publishNext()
      this.#wake()
    })
  }

  async #publish({ records, first, last }: Gathered): Promise<void> {
    try {
      const { runs, cursor, ack } = await this.#deps.publish(records)
      const ids = idsOfRuns(runs)
      const ends = { first: ids[0] as string, last: ids.at(-1) as string }
      const stored: StoredLines = { lines: [first, last], records: records.length, ...ends, cursor, ack }
      this.#stored = this.#stored === undefined ? stored : both(this.#stored, stored)
    } catch (error) {
      this.#fault = faultAt(first, error)
      this.#gathered = nothing()
    }
  }

  #hold(bytes: number): void {
    const more = bytes - this.#heldBytes
    this.#heldBytes = bytes
    this.#deps.bodies.hold(more)
  }
}

interface Gathered {
  readonly records: RecordToPublish[]
  bytes: number
  /** Their lines; 0 while there is none. */
  first: number
  last: number
}

const nothing = (): Gathered => ({ records: [], bytes: 0, first: 0, last: 0 })

/** Blank lines and CR before the newline are not JSON's to complain about. */
const isBlank = (line: Uint8Array): boolean => line.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d)

function both(a: StoredLines, b: StoredLines): StoredLines {
  const peers = b.ack.peers.filter((peer) => a.ack.peers.includes(peer))
  const ack = { ...b.ack, reached: a.ack.reached && b.ack.reached, copies: peers.length, peers }
  return {
    lines: [a.lines[0], b.lines[1]],
    records: a.records + b.records,
    first: a.first,
    last: b.last,
    cursor: b.cursor,
    ack,
  }
}

/** The error of a line names it, unless it does already. */
function faultAt(line: number, error: unknown): LineFault {
  if (!(error instanceof MeshError)) return { line, error }
  if (error.facts['line'] === line) return { line, error }
  const facts = { ...error.facts, line }
  return { line, error: new MeshError(error.code, `Line ${line}: ${error.message}`, { cause: error, facts }) }
}
