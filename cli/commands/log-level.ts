import { Argument, Command } from 'commander'
import { Mesh } from '#client/mesh'
import { logLevels, type LogLevel } from '#protocol/log-level'
import { formatOf, withClientOptions, type ClientOptions, type Context } from '../context.ts'
import { writeRows } from '../output.ts'

const help = `
Without a level it shows what is set. It lasts until the peer starts again; for
longer: --log-level of "grapevine peer". At debug every request is said, without
its query.

Examples:
  $ grapevine log-level
  $ grapevine log-level debug --server http://127.0.0.1:8401,http://127.0.0.1:8402`

export function logLevelCommand(context: Context): Command {
  return withClientOptions(new Command('log-level'))
    .description('show how much a peer says in its log, or change it')
    .addArgument(new Argument('[level]', 'how much is said').choices(logLevels))
    .addHelpText('after', help)
    .action(async (asked: LogLevel | undefined, options: ClientOptions) => {
      const signal = context.terminal.stop
      // Each by itself: the second server is another peer, not a stand-in for the first.
      const rows = await Promise.all(
        options.server.map(async (server) => {
          await using mesh = new Mesh({ servers: [server] })
          const change = asked && { method: 'PUT' as const, json: { level: asked } }
          const { level } = await mesh.ask<{ level: LogLevel }>({ path: '/v1/log-level', ...change }, { signal })
          return { server: mesh.server, level }
        }),
      )
      await writeRows(context.terminal, formatOf(context, options), rows, [
        { title: 'server', of: (row) => row.server, style: () => 'bold' },
        { title: 'level', of: (row) => row.level },
      ])
    })
}
