import { Command } from 'commander'
import { Mesh } from '#client/mesh'
import { formatOf, withClientOptions, type ClientOptions, type Context } from '../context.ts'
import { writeRows } from '../output.ts'

const help = `
Exit code 0 if all of the named gateways answer, 1 if one does not. A peer that
is cut off from the others is healthy: it goes on publishing. What it knows of
them is what "members" shows.

Examples:
  $ grapevine health
  $ grapevine health --server http://127.0.0.1:8401 || systemctl restart elm`

/** Whoever asks has a patience of its own, often of a few seconds, and should get our reason before it is over. */
const answerMsMax = 3_000

export function healthCommand(context: Context): Command {
  return withClientOptions(new Command('health'))
    .description('check that a peer answers')
    .addHelpText('after', help)
    .action(async (options: ClientOptions) => {
      const { stop } = context.terminal
      // Each by itself: that a second gateway answers for the first says nothing about the first.
      const rows = await Promise.all(
        options.server.map(async (server) => {
          await using mesh = new Mesh({ servers: [server], answerMsMax })
          await mesh.health({ signal: stop })
          return { server: mesh.server, status: 'ok' }
        }),
      )
      await writeRows(context.terminal, formatOf(context, options), rows, [
        { title: 'server', of: (row) => row.server, style: () => 'bold' },
        { title: 'status', of: (row) => row.status, style: () => 'green' },
      ])
    })
}
