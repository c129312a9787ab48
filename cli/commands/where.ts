import { Command } from 'commander'
import type { Mesh } from '#client/mesh'
import type { Ack } from '#client/publish'
import { MeshError } from '#protocol/errors'
import type { ReplicationStatus } from '#protocol/views'
import { ackText, checkAckLevel, waitOption } from '../ack-options.ts'
import { connectTo, formatOf, withClientOptions, type ClientOptions, type Context } from '../context.ts'
import { exitCodes } from '../exit-codes.ts'
import { counted, jsonLine, tableText } from '../output.ts'
import { say, write } from '../terminal.ts'

const help = `
A record id is <writer>.<epoch>.<offset>, as pub and sub show it. Without a
topic all topics of the peer are searched. "last heard" is what the peer knew of
another one before it lost the link to it. With --ack it waits until as many
disks hold it as that asks for; exit code 3: not within --wait.

Examples:
  $ grapevine where orders 12D3KooWQ4…a6.9f3c2a71d05be884.41
  $ grapevine where 12D3KooWQ4…a6.9f3c2a71d05be884.41
  $ grapevine where 12D3KooWQ4…a6.9f3c2a71d05be884.41 --ack all --wait 10s`

interface WhereOptions extends ClientOptions {
  readonly ack?: string
  readonly wait?: string
}

export function whereCommand(context: Context): Command {
  return withClientOptions(new Command('where'))
    .description('which peers hold a record on disk')
    .argument('<topic or record>', 'the topic, or the id alone')
    .argument('[record]', 'the id of the record')
    .usage('[topic] <record> [options]')
    .option('-a, --ack <level>', 'wait until it is on disk at: local, n:K, majority or all')
    .addOption(waitOption())
    .addHelpText('after', help)
    .action(async (first: string, second: string | undefined, options: WhereOptions) => {
      const { ack, wait } = options
      if (ack !== undefined) checkAckLevel(ack)
      else if (wait !== undefined) throw new MeshError('USAGE', '--wait is for --ack: say what to wait for')
      await using mesh = await connectTo(context, options)
      const signal = context.terminal.stop
      const [topic, id] = second === undefined ? [await topicOf(mesh, first, signal), first] : [first, second]
      if (ack !== undefined) tellAck(context, await mesh.awaitCopies(topic, id, { ack, ...(wait && { wait }), signal }))
      await writeStatus(context, options, await mesh.where(topic, id, { signal }))
    })
}

function tellAck(context: Context, ack: Ack): void {
  if (!ack.reached) context.exitCode = exitCodes.degraded
  say(context.terminal, ackText(ack))
}

/** Topics are few and a peer answers from memory, so one after the other will do. */
async function topicOf(mesh: Mesh, id: string, signal: AbortSignal): Promise<string> {
  for (const { topic } of await mesh.topics({ signal })) {
    const status = await mesh.where(topic, id, { signal }).catch(unlessNotFound)
    if (status !== undefined) return topic
  }
  throw new MeshError('RECORD_NOT_FOUND', `no topic of ${mesh.server} has ${id}`)
}

function unlessNotFound(error: unknown): undefined {
  if (error instanceof MeshError && error.code === 'RECORD_NOT_FOUND') return undefined
  throw error
}

const roles = { home: 'home', standIn: 'stand-in', other: '-' } as const

async function writeStatus(context: Context, options: ClientOptions, status: ReplicationStatus): Promise<void> {
  const { terminal } = context
  if (formatOf(context, options) === 'json') return write(terminal, jsonLine(status))
  const table = tableText(terminal.stdout, status.peers, [
    { title: 'peer', of: (peer) => peer.name, style: () => 'bold' },
    {
      title: 'holds it',
      of: (peer) => (peer.holds ? 'yes' : 'no'),
      style: (peer) => (peer.holds ? 'green' : 'yellow'),
    },
    { title: 'role', of: (peer) => roles[peer.role] },
    { title: 'known', of: (peer) => (peer.current ? 'now' : 'last heard') },
  ])
  await write(terminal, table)
  say(
    terminal,
    `on ${counted(status.copies, 'disk')}; ack=all would be ${status.home.length}: ${status.home.join(', ')}`,
  )
}
