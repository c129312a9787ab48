import { Command } from 'commander'
import type { Mesh } from '#client/mesh'
import { MeshError } from '#protocol/errors'
import type { ReplicationStatus } from '#protocol/views'
import { connectTo, formatOf, withClientOptions, type ClientOptions, type Context } from '../context.ts'
import { counted, jsonLine, tableText } from '../output.ts'
import { say, write } from '../terminal.ts'

const help = `
A record id is <writer>.<epoch>.<offset>, as pub and sub show it. Without a
topic all topics of the peer are searched. "last heard" is what the peer knew of
another one before it lost the link to it.

Examples:
  $ grapevine where orders 12D3KooWQ4…a6.9f3c2a71d05be884.41
  $ grapevine where 12D3KooWQ4…a6.9f3c2a71d05be884.41`

export function whereCommand(context: Context): Command {
  return withClientOptions(new Command('where'))
    .description('which peers hold a record on disk')
    .argument('<topic or record>', 'the topic, or the id alone')
    .argument('[record]', 'the id of the record')
    .usage('[topic] <record> [options]')
    .addHelpText('after', help)
    .action(async (first: string, second: string | undefined, options: ClientOptions) => {
      await using mesh = await connectTo(context, options.server)
      const signal = context.terminal.stop
      const found =
        second === undefined ? await search(mesh, first, signal) : await mesh.where(first, second, { signal })
      await writeStatus(context, options, found)
    })
}

/** Topics are few and a peer answers from memory, so one after the other will do. */
async function search(mesh: Mesh, id: string, signal: AbortSignal): Promise<ReplicationStatus> {
  for (const { topic } of await mesh.topics({ signal })) {
    const status = await mesh.where(topic, id, { signal }).catch(unlessNotFound)
    if (status !== undefined) return status
  }
  throw new MeshError('RECORD_NOT_FOUND', `no topic of ${mesh.server} has ${id}`)
}

function unlessNotFound(error: unknown): undefined {
  if (error instanceof MeshError && error.code === 'RECORD_NOT_FOUND') return undefined
  throw error
}

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
    { title: 'known', of: (peer) => (peer.current ? 'now' : 'last heard') },
  ])
  await write(terminal, table)
  say(
    terminal,
    `on ${counted(status.copies, 'disk')}; ack=all would be ${status.home.length}: ${status.home.join(', ')}`,
  )
}
