import { Command, InvalidArgumentError, Option } from 'commander'
import type { Mesh } from '#client/mesh'
import type { ReceivedRecord } from '#client/record'
import type { StreamItem } from '#client/subscription'
import { connectTo, outputOption, withClientOptions, type ClientOptions, type Context } from '../context.ts'
import { formatFor, jsonLine, printable, type Format } from '../output.ts'
import { say, styled, warn, write, type Terminal } from '../terminal.ts'

const help = `
-o value prints each value as it was published and a newline: what "pub --lines"
took in comes out again. "Caught up" is told by the peer: everything that it
held has been printed. At the end the cursor is printed on stderr; with
--from <cursor> you go on there, at any peer of the mesh.

Examples:
  $ grapevine sub orders
  $ grapevine sub orders --from earliest --until-caught-up -o value > orders.txt
  $ grapevine sub orders --from earliest --limit 10 -o json | jq .value`

interface SubOptions extends Omit<ClientOptions, 'output'> {
  readonly from: string
  readonly limit?: number
  readonly untilCaughtUp?: true
  readonly output?: Format | 'value'
}

export function subCommand(context: Context): Command {
  return withClientOptions(new Command('sub'), outputOption(['value']))
    .description('read a topic, and go on as records come')
    .argument('<topic>', 'the topic to read')
    .option('-f, --from <start>', 'earliest, latest or a cursor', 'latest')
    .addOption(new Option('-n, --limit <count>', 'end after so many records').argParser(countOf))
    .option('--until-caught-up', 'end when everything that the peer holds has been printed')
    .addHelpText('after', help)
    .action(async (topic: string, options: SubOptions) => {
      await using mesh = await connectTo(context, options.server)
      const print = await printerFor(context.terminal, mesh, options)
      await readTopic({ terminal: context.terminal, mesh, topic, options, print })
    })
}

interface Reading {
  readonly terminal: Terminal
  readonly mesh: Mesh
  readonly topic: string
  readonly options: SubOptions
  readonly print: (record: ReceivedRecord) => Promise<void>
}

/** Ctrl-C is the usual end of a subscription, so it is no failure. */
async function readTopic({ terminal, mesh, topic, options, print }: Reading): Promise<void> {
  const notices = new Notices(terminal, options.untilCaughtUp === true)
  let count = 0
  let cursor = ''
  try {
    for await (const item of mesh.stream(topic, { from: options.from, signal: terminal.stop })) {
      if (item.type === 'record') await print(item.record)
      else notices.tell(item)
      cursor = item.type === 'record' ? item.record.cursor : item.type === 'interrupted' ? cursor : item.cursor
      if (item.type === 'record' && ++count === options.limit) break
      if (item.type === 'caught-up' && options.untilCaughtUp === true) break
    }
  } catch (error) {
    if (!terminal.stop.aborted) throw error
  }
  if (cursor !== '') say(terminal, styled(terminal.stderr, 'dim', `cursor: ${cursor}`))
}

/** Says once what has happened, not at each of a hundred retries. */
class Notices {
  readonly #terminal: Terminal
  readonly #ends: boolean
  #lastCode = ''

  constructor(terminal: Terminal, ends: boolean) {
    this.#terminal = terminal
    this.#ends = ends
  }

  tell(item: Exclude<StreamItem, { type: 'record' }>): void {
    switch (item.type) {
      case 'caught-up':
        this.#lastCode = ''
        if (!this.#ends && this.#terminal.stderr.isTTY === true) say(this.#terminal, 'caught up, waiting for more')
        return
      case 'gap':
        return warn(this.#terminal, `records are missing: ${JSON.stringify(item.gap)}`)
      case 'interrupted': {
        const { error } = item
        // Who wants what is there now does not want to wait for a topic that is not.
        if (this.#ends && error.code === 'TOPIC_NOT_FOUND') throw error
        if (error.code !== this.#lastCode) warn(this.#terminal, `${error.message}; trying on`)
        this.#lastCode = error.code
      }
    }
  }
}

async function printerFor(terminal: Terminal, mesh: Mesh, options: SubOptions): Promise<Reading['print']> {
  if (options.output === 'value') return (record) => write(terminal, Buffer.concat([record.bytes(), Buffer.from('\n')]))
  if (formatFor(terminal.stdout, options.output) === 'json') return (record) => write(terminal, jsonLine(record))
  const members = await mesh.members({ signal: terminal.stop })
  const names = new Map(members.map((member) => [member.id, member.name]))
  return (record) => write(terminal, `${lineOf(terminal, record, names)}\n`)
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
