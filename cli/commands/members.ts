import { Command } from 'commander'
import { connectTo, formatOf, withClientOptions, type ClientOptions, type Context } from '../context.ts'
import { memberColumns } from '../member-columns.ts'
import { writeRows } from '../output.ts'

const help = `
States: alive, suspect (does not answer and may still refute), dead, left (said
good-bye); leaving is who is decommissioned. * is the peer that answers.

Examples:
  $ grapevine members
  $ grapevine members --server http://127.0.0.1:8401 -o json | jq .name`

export function membersCommand(context: Context): Command {
  return withClientOptions(new Command('members'))
    .description('who belongs to the mesh, and how a peer sees each')
    .option('--forgotten', 'also who does not belong any more')
    .addHelpText('after', help)
    .action(async (options: ClientOptions & { readonly forgotten?: boolean }) => {
      await using mesh = await connectTo(context, options.server)
      const signal = context.terminal.stop
      const forgotten = options.forgotten === true ? await mesh.forgotten({ signal }) : []
      const members = [...(await mesh.members({ signal })), ...forgotten]
      await writeRows(context.terminal, formatOf(context, options), members, memberColumns)
    })
}
