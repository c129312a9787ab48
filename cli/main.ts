import { Command, CommanderError } from 'commander'
import { MeshError } from '#protocol/errors'
import { newContext, type Context } from './context.ts'
import { exitCodes, type ExitCode } from './exit-codes.ts'
import { failureText } from './failure.ts'
import { Interruption, watchSignals } from './signals.ts'
import { allWritten, say, type Terminal } from './terminal.ts'
import { admitCommand, decommissionCommand, forgetCommand } from './commands/decisions.ts'
import { doctorCommand } from './commands/doctor.ts'
import { eventsCommand } from './commands/events.ts'
import { exportCommand } from './commands/export.ts'
import { gossipCommand } from './commands/gossip.ts'
import { healthCommand } from './commands/health.ts'
import { helpCommand } from './commands/help.ts'
import { importCommand } from './commands/import.ts'
import { labCommand } from './commands/lab.ts'
import { linksCommand } from './commands/links.ts'
import { logLevelCommand } from './commands/log-level.ts'
import { membersCommand } from './commands/members.ts'
import { healsCommand, partitionsCommand } from './commands/partitions.ts'
import { pubCommand } from './commands/pub.ts'
import { replicationCommand } from './commands/replication.ts'
import { subCommand } from './commands/sub.ts'
import { tokenCommand } from './commands/token.ts'
import { topicsCommand } from './commands/topics.ts'
import { upCommand } from './commands/up.ts'
import { verifyCommand } from './commands/verify.ts'
import { whereCommand } from './commands/where.ts'
import { peerCommand, version } from './peer.ts'

export async function main(): Promise<void> {
  const { stdin, stdout, stderr, env } = process
  const signals = watchSignals(process, { underNpm: env['npm_lifecycle_event'] !== undefined })
  // Later, so that commands can still end what they started.
  signals.force.addEventListener('abort', () => setImmediate(() => process.exit(exitCodes.interrupted)))
  // `grapevine sub orders | head` is no error.
  stdout.on('error', (error: NodeJS.ErrnoException) =>
    process.exit(error.code === 'EPIPE' ? exitCodes.ok : exitCodes.failed),
  )
  stderr.on('error', () => undefined)
  const code = await run(process.argv.slice(2), { stdin, stdout, stderr, env, ...signals })
  await Promise.all([allWritten(stdout), allWritten(stderr)])
  process.exit(code)
}

/** Runs one command line and returns its exit code. Whatever goes wrong is said on stderr, once. */
export async function run(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const context = newContext(terminal)
  const program = programOf(context)
  try {
    await program.parseAsync(args, { from: 'user' })
    return context.exitCode
  } catch (error) {
    return failed(error, terminal, program.opts<{ debug?: boolean }>().debug === true)
  }
}

function programOf(context: Context): Command {
  const { stdout, stderr } = context.terminal
  const program = new Command('grapevine')
    .description('A gossip-based peer-to-peer broker mesh: publish anywhere, split the network, heal it.')
    .version(version, '-V, --version', 'show the version')
    .option('--debug', 'show the stack of an error')
    .addHelpText('after', examples)
  const commands = [upCommand, peerCommand, pubCommand, subCommand, topicsCommand, exportCommand, importCommand]
  const views = [
    membersCommand,
    gossipCommand,
    linksCommand,
    partitionsCommand,
    healsCommand,
    eventsCommand,
    replicationCommand,
    whereCommand,
    verifyCommand,
    healthCommand,
    doctorCommand,
    logLevelCommand,
    decommissionCommand,
    forgetCommand,
    admitCommand,
    labCommand,
    tokenCommand,
  ]
  for (const command of [...commands, ...views]) program.addCommand(command(context))
  program.addCommand(helpCommand(program))
  for (const command of allOf(program)) {
    command
      .exitOverride()
      .helpCommand(false)
      .configureOutput({ writeOut: (text) => stdout.write(text), writeErr: () => undefined })
      .configureHelp({ showGlobalOptions: true })
      .helpOption('-h, --help', 'show this help')
  }
  if (stderr.isTTY === true) program.showSuggestionAfterError()
  return program
}

const allOf = (command: Command): Command[] => [command, ...command.commands.flatMap((child) => allOf(child))]

const examples = `
Examples:
  $ grapevine up                                 three peers on this machine
  $ grapevine pub orders 'ten pears'             publish at one of them
  $ grapevine sub orders --from earliest --server http://127.0.0.1:8401
  $ grapevine lab split oak / elm,ash            cut the mesh in two, then: grapevine gossip
  $ grapevine lab heal && grapevine verify --wait 10s

Exit codes: 0 ok, 1 failed, 2 usage, 3 degraded, 4 not converged, 130 interrupted`

function failed(error: unknown, terminal: Terminal, debug: boolean): ExitCode {
  if (error instanceof Interruption) return exitCodes.interrupted
  if (error instanceof CommanderError) {
    // Help and version are no failures.
    if (error.exitCode === 0) return exitCodes.ok
    // A suggestion comes on a line of its own, and an error is one line.
    const complaint = error.message.replace(/^error: /, '').replaceAll('\n', ' ')
    const problem = error.code === 'commander.help' ? 'a command is missing' : complaint
    say(terminal, failureText(new MeshError('USAGE', problem), { debug }))
    return exitCodes.usage
  }
  say(terminal, failureText(error, { debug }))
  if (!(error instanceof MeshError)) return exitCodes.failed
  if (error.code === 'NOT_CONVERGED') return exitCodes.notConverged
  return error.code === 'USAGE' || error.code === 'CONFIG_INVALID' ? exitCodes.usage : exitCodes.failed
}
