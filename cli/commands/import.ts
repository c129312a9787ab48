import { Command } from 'commander'
import type { Mesh } from '#client/mesh'
import type { PublishedMany } from '#client/publish'
import { MeshError } from '#protocol/errors'
import { limits } from '#protocol/limits'
import type { FeedHead } from '#protocol/views'
import { ackText, checkAckLevel, waitOption } from '../ack-options.ts'
import { connectTo, formatOf, withClientOptions, type ClientOptions, type Context } from '../context.ts'
import { exitCodes } from '../exit-codes.ts'
import { type ExportedRecord, recordOfLine } from '../exported-record.ts'
import { ImportRuns, type ImportRun } from '../import-runs.ts'
import { inputOf } from '../input.ts'
import { lineBatches } from '../lines.ts'
import { counted, jsonLine } from '../output.ts'
import { Progress } from '../progress.ts'
import { say, warn, write, type Terminal } from '../terminal.ts'

const help = `
A merge, which may be repeated: records that this mesh has already, as they were
written or from an import before, are not stored again. They keep value, key,
headers and order per writer; what they are called and when they are stored is
new, and the headers grapevine-origin and grapevine-origin-time say what was.

Examples:
  $ grapevine import < orders.ndjson
  $ grapevine import --ack majority --topic orders.restored < orders.ndjson`

interface ImportOptions extends ClientOptions {
  readonly ack: string
  readonly wait?: string
  readonly topic?: string
}

/** Requests that are under way at a time, of different feeds: the disk of the peer works while the next are read. */
const runsInFlight = 16

export function importCommand(context: Context): Command {
  return withClientOptions(new Command('import'))
    .description('publish what export has written, from stdin')
    .option('-a, --ack <level>', 'wait until it is on disk at: local, n:K, majority or all', 'local')
    .addOption(waitOption())
    .option('-t, --topic <name>', 'to this topic, whatever they were in')
    .addHelpText('after', help)
    .action(async (options: ImportOptions) => {
      checkAckLevel(options.ack)
      await using mesh = await connectTo(context, options)
      await new Import(context, mesh, options).run()
    })
}

class Import {
  readonly #context: Context
  readonly #mesh: Mesh
  readonly #options: ImportOptions
  readonly #runs = new ImportRuns()
  readonly #progress: Progress
  /** By what is to stay in order: one run of each at a time. */
  readonly #underWay = new Map<string, Promise<PublishedMany>>()
  readonly #present: Present
  #line = 0
  #published = 0
  #skipped = 0
  #worst: PublishedMany | undefined

  constructor(context: Context, mesh: Mesh, options: ImportOptions) {
    this.#context = context
    this.#mesh = mesh
    this.#options = options
    this.#progress = new Progress(context.terminal)
    this.#present = new Present(mesh, context.terminal)
  }

  async run(): Promise<void> {
    const { terminal } = this.#context
    try {
      for await (const batch of lineBatches(inputOf(terminal), limits.lineBytesMax))
        for (const line of batch) await this.#take(line)
      for (const run of this.#runs.end()) await this.#publish(run)
      for (const key of this.#underWay.keys()) await this.#answered(key)
    } catch (error) {
      this.#progress.end()
      say(terminal, `${counted(this.#published, 'record')} imported before that. It is safe to import the whole again.`)
      throw error
    }
    this.#progress.end()
    await this.#tell()
  }

  async #take(line: Uint8Array): Promise<void> {
    this.#line++
    const exported = this.#recordOf(line)
    if (exported === undefined) return
    const record = { ...exported, topic: this.#options.topic ?? exported.topic }
    if (await this.#present.has(record)) this.#skipped++
    else for (const run of this.#runs.add(record)) await this.#publish(run)
  }

  #recordOf(line: Uint8Array): ExportedRecord | undefined {
    if (line.length === 0) return undefined
    try {
      return recordOfLine(line)
    } catch (error) {
      if (!(error instanceof MeshError)) throw error
      throw new MeshError(error.code, `line ${this.#line}: ${error.message}`)
    }
  }

  async #publish({ key, topic, records, producer }: ImportRun): Promise<void> {
    const { ack, wait } = this.#options
    const [oldest = key] = this.#underWay.keys()
    if (this.#underWay.has(key)) await this.#answered(key)
    else if (this.#underWay.size >= runsInFlight) await this.#answered(oldest)
    const options = { ack, producer, signal: this.#context.terminal.stop, ...(wait !== undefined && { wait }) }
    const answer = this.#mesh.publishMany(topic, records, options)
    // Its turn to be looked at comes later.
    answer.catch(() => undefined)
    this.#underWay.set(key, answer)
  }

  async #answered(key: string): Promise<void> {
    const published = await this.#underWay.get(key)
    this.#underWay.delete(key)
    if (published === undefined) return
    this.#published += published.ids.length
    if (this.#worst === undefined || published.copies < this.#worst.copies) this.#worst = published
    this.#progress.show(`${counted(this.#published, 'record')} imported`)
  }

  async #tell(): Promise<void> {
    const { terminal } = this.#context
    const [records, present, worst] = [this.#published, this.#skipped, this.#worst]
    if (worst?.reached === false) {
      this.#context.exitCode = exitCodes.degraded
      warn(terminal, `stored, but ack=${worst.level} was not reached in time for all. The mesh goes on copying.`)
    }
    const ack = worst === undefined ? '' : `  ${ackText(worst)}`
    const isJson = formatOf(this.#context, this.#options) === 'json'
    const text = `${counted(records, 'record')} imported, ${counted(present, 'record')} were here already${ack}\n`
    await write(terminal, isJson ? jsonLine({ records, present, ...(worst && { reached: worst.reached }) }) : text)
  }
}

/** What a topic of the mesh holds, asked for once. */
interface Held {
  readonly topicId: string
  readonly byFeed: ReadonlyMap<string, readonly FeedHead[]>
}

/** What the mesh has under the ids that it was written with. */
class Present {
  readonly #mesh: Mesh
  readonly #terminal: Terminal
  readonly #held = new Map<string, Held | undefined>()

  constructor(mesh: Mesh, terminal: Terminal) {
    this.#mesh = mesh
    this.#terminal = terminal
  }

  /** It is here as what it was, or was let go of by retention; what is damaged wherever it is held is not. */
  async has({ topic, origin }: ExportedRecord): Promise<boolean> {
    if (!this.#held.has(topic)) this.#held.set(topic, await this.#heldOf(topic))
    const held = this.#held.get(topic)
    if (held?.topicId !== origin.topicId) return false
    return (held.byFeed.get(origin.feed) ?? []).some(({ nextOffset, holes = [] }) => {
      const isDamaged = holes.some(({ from, to }) => from <= origin.offset && origin.offset < to)
      return origin.offset < nextOffset && !isDamaged
    })
  }

  async #heldOf(topic: string): Promise<Held | undefined> {
    try {
      const { topicId, replicas } = await this.#mesh.topicStatus(topic, { signal: this.#terminal.stop })
      const heads = replicas.flatMap(({ feeds }) => feeds)
      return { topicId, byFeed: Map.groupBy(heads, ({ feed }) => feed) }
    } catch (error) {
      if (error instanceof MeshError && error.code === 'TOPIC_NOT_FOUND') return undefined
      throw error
    }
  }
}
