import { Command, InvalidArgumentError, Option } from 'commander'
import type { Mesh } from '#client/mesh'
import type { ReceivedRecord } from '#client/record'
import type { CursorMap, StreamItem } from '#client/subscription'
import { MeshError } from '#protocol/errors'
import { connectTo, outputOption, withClientOptions, type ClientOptions, type Context } from '../context.ts'
import { counted, formatFor, jsonLine, printable, type Format } from '../output.ts'
import { startOf } from '../start.ts'
import { say, styled, warn, write, type Terminal } from '../terminal.ts'

const help = `
-o value prints each value as it was published and a newline: what "pub --lines"
took in comes out again. "Caught up" is told by the peer: everything that it
held has been printed. At the end the cursor is printed on stderr (of several
topics one for each, as JSON); with --from <cursor> you go on there, at any
peer of the mesh. In a pattern * is one token and ** the rest; topics that
appear later are read, too.

Examples:
  $ grapevine sub orders
  $ grapevine sub orders --from earliest --until-caught-up -o value > orders.txt
  $ grapevine sub orders --from earliest --limit 10 -o json | jq .value
  $ grapevine sub orders 'bills.**' --from earliest`

interface SubOptions extends Omit<ClientOptions, 'output'> {
  readonly from: string
  readonly limit?: number
  readonly untilCaughtUp?: true
  readonly output?: Format | 'value'
}

export function subCommand(context: Context): Command {
  return withClientOptions(new Command('sub'), outputOption(['value']))
    .description('read topics, and go on as records come')
    .argument('<topic...>', 'the topics to read; * and ** stand for tokens')
    .option('-f, --from <start>', 'earliest, latest, a cursor, or {"topic": "cursor", …}', 'latest')
    .addOption(new Option('-n, --limit <count>', 'end after so many records').argParser(countOf))
    .option('--until-caught-up', 'end when everything that the peer holds has been printed')
    .addHelpText('after', help)
    .action(async (topics: string[], options: SubOptions) => {
      const from = startOf(options.from)
      await using mesh = await connectTo(context, options)
      const print = await printerFor(context.terminal, mesh, { ...options, topics })
      await readTopics({ terminal: context.terminal, mesh, topics, from, options, print })
    })
}

interface Reading {
  readonly terminal: Terminal
  readonly mesh: Mesh
  readonly topics: readonly string[]
  readonly from: string | CursorMap
  readonly options: SubOptions
  readonly print: (record: ReceivedRecord) => Promise<void>
}

/** Ctrl-C is the usual end of a subscription, so it is no failure. */
async function readTopics({ terminal, mesh, topics, from, options, print }: Reading): Promise<void> {
  const notices = new Notices(terminal, { topics, ends: options.untilCaughtUp === true })
  const cursors = new Map<string, string>()
  let count = 0
  try {
    for await (const item of mesh.stream(topics, { from, signal: terminal.stop })) {
      if (item.type === 'record') {
        await print(item.record)
        cursors.set(item.record.topic, item.record.cursor)
        if (++count === options.limit) break
        continue
      }
      notices.tell(item)
      if (item.type !== 'caught-up') continue
      for (const entry of Object.entries(item.cursors)) cursors.set(...entry)
      if (options.untilCaughtUp === true) break
    }
  } catch (error) {
    if (!terminal.stop.aborted) throw error
  }
  tellCursors(terminal, topics, cursors)
}

function tellCursors(terminal: Terminal, topics: readonly string[], cursors: ReadonlyMap<string, string>): void {
  if (cursors.size === 0) return
  const only = topics.length === 1 ? cursors.get(topics[0] as string) : undefined
  say(terminal, styled(terminal.stderr, 'dim', `cursor: ${only ?? JSON.stringify(Object.fromEntries(cursors))}`))
}

/** Says once what has happened, not at each of a hundred retries. */
class Notices {
  readonly #terminal: Terminal
  readonly #topics: readonly string[]
  readonly #ends: boolean
  #lastCode = ''

  constructor(terminal: Terminal, { topics, ends }: { readonly topics: readonly string[]; readonly ends: boolean }) {
    this.#terminal = terminal
    this.#topics = topics
    this.#ends = ends
  }

  tell(item: Exclude<StreamItem, { type: 'record' }>): void {
    switch (item.type) {
      case 'caught-up':
        this.#lastCode = ''
        if (item.isolated) warn(this.#terminal, 'this peer reaches nobody who keeps the topic: there may be more')
        return this.#tellCaughtUp(Object.keys(item.cursors).length > 0)
      case 'gap':
        return warn(this.#terminal, gapText(item))
      case 'partition': {
        const { reachable, known } = item
        return warn(this.#terminal, `the mesh is cut: ${reachable.join(', ')} of ${known.length} members are reachable`)
      }
      case 'healed':
        return say(this.#terminal, 'the mesh is whole again')
      case 'deleted':
        return warn(this.#terminal, `${item.topic} was deleted; what is published under that name now is another topic`)
      case 'interrupted': {
        const { error } = item
        if (error.code !== this.#lastCode) warn(this.#terminal, `${error.message}; trying on`)
        this.#lastCode = error.code
      }
    }
  }

  /** Who wants what is there now does not want to wait for a topic that is not. */
  #tellCaughtUp(found: boolean): void {
    const none = `no topic matches ${this.#topics.join(' ')}`
    if (!found && this.#ends) throw new MeshError('TOPIC_NOT_FOUND', none)
    if (!found) return warn(this.#terminal, `${none}; waiting for it`)
    if (!this.#ends && this.#terminal.stderr.isTTY === true) say(this.#terminal, 'caught up, waiting for more')
  }
}

type Printing = SubOptions & { readonly topics: readonly string[] }

function gapText({ topic, gap }: Extract<StreamItem, { type: 'gap' }>): string {
  const { type, feed, from, to } = gap
  const records = `${counted(to - from, 'record')} of ${topic} from ${feed}.${from} on`
  if (type === 'lost') return `${records} are not kept any more`
  return `${records} cannot be read at this peer yet; if they stay away, try another one, or --from earliest`
}

async function printerFor(terminal: Terminal, mesh: Mesh, options: Printing): Promise<Reading['print']> {
  if (options.output === 'value') return (record) => write(terminal, Buffer.concat([record.bytes(), Buffer.from('\n')]))
  if (formatFor(terminal.stdout, options.output) === 'json') return (record) => write(terminal, jsonLine(record))
  const members = await mesh.members({ signal: terminal.stop })
  const names = new Map(members.map((member) => [member.id, member.name]))
  const isOne = options.topics.length === 1 && !options.topics[0]?.includes('*')
  return (record) => write(terminal, `${isOne ? '' : `${record.topic}  `}${lineOf(terminal, record, names)}\n`)
}

/** `10:00:00.123  oak/41  [key]  value` */
function lineOf(terminal: Terminal, record: ReceivedRecord, names: ReadonlyMap<string, string>): string {
  const writer = record.feed.split('.')[0] ?? ''
  const place = `${names.get(writer) ?? writer.slice(-8)}/${record.offset}`
  const key = record.key === undefined ? [] : [`[${printable(record.key)}]`]
  const dim = styled(terminal.stdout, 'dim', [record.time.slice(11, 23), place, ...key].join('  '))
  return `${dim}  ${printable(record.text())}`
}

function countOf(text: string): number {
  const count = Number(text)
  if (!Number.isSafeInteger(count) || count < 1) throw new InvalidArgumentError('It must be a whole number from 1.')
  return count
}
