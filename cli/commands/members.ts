import { Command } from 'commander'
import { connectTo, formatOf, outputOption, withClientOptions, type ClientOptions, type Context } from '../context.ts'
import { memberColumns, wideColumns } from '../member-columns.ts'
import { type Format, writeRows } from '../output.ts'

const help = `
States: alive, suspect (does not answer and may still refute), dead, left (said
good-bye); leaving is who is decommissioned. * is the peer that answers.

Examples:
  $ grapevine members
  $ grapevine members -o wide              with zone, link, accusers and id
  $ grapevine members --server http://127.0.0.1:8401 -o json | jq .name`

interface MembersOptions extends Omit<ClientOptions, 'output'> {
  readonly forgotten?: boolean
  readonly output?: Format | 'wide'
}

export function membersCommand(context: Context): Command {
  return withClientOptions(new Command('members'), outputOption(['wide']))
    .description('who belongs to the mesh, and how a peer sees each')
    .option('--forgotten', 'also who does not belong any more')
    .addHelpText('after', help)
    .action(async ({ output, ...options }: MembersOptions) => {
      await using mesh = await connectTo(context, options)
      const signal = context.terminal.stop
      const forgotten = options.forgotten === true ? await mesh.forgotten({ signal }) : []
      const members = [...(await mesh.members({ signal })), ...forgotten]
      if (output === 'wide') return writeRows(context.terminal, 'table', members, wideColumns)
      const format = formatOf(context, { ...options, ...(output && { output }) })
      await writeRows(context.terminal, format, members, memberColumns)
    })
}
