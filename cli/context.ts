import { InvalidArgumentError, Option, type Command } from 'commander'
import { connect, type Mesh } from '#client/mesh'
import { baseUrlOf } from '#client/servers'
import { exitCodes, type ExitCode } from './exit-codes.ts'
import { formats, formatFor, type Format } from './output.ts'
import type { Terminal } from './terminal.ts'

/** What every command is built with. `exitCode` is what it leaves behind if it does not throw. */
export interface Context {
  readonly terminal: Terminal
  exitCode: ExitCode
}

export const newContext = (terminal: Terminal): Context => ({ terminal, exitCode: exitCodes.ok })

export interface ClientOptions {
  readonly server: readonly string[]
  readonly output?: Format
}

export const serverDefault = 'http://127.0.0.1:8400'

/** `host:port` is as good as a URL. */
function serversOf(text: string): string[] {
  const items = text.split(',').map((item) => item.trim())
  const servers = items.filter((item) => item !== '').map((item) => (item.includes('://') ? item : `http://${item}`))
  const wrong = servers.find((server) => baseUrlOf(server) === undefined)
  if (servers.length > 0 && wrong === undefined) return servers
  throw new InvalidArgumentError(`It must be ${serverDefault}, 127.0.0.1:8400 or the like, several with commas.`)
}

export const outputOption = (more: readonly string[] = []): Option =>
  new Option('-o, --output <format>', 'default: table on a terminal, json (one object per line) in a pipe').choices([
    ...formats,
    ...more,
  ])

/** For an option that may be repeated. A variadic one would swallow the arguments after it. */
export const collected = (text: string, before: readonly string[] | undefined): string[] => [...(before ?? []), text]

/** The options of everything that talks to a mesh. */
export function withClientOptions(command: Command, output: Option = outputOption()): Command {
  return command
    .addOption(
      new Option('-s, --server <urls>', 'gateways to use, comma-separated; the next one stands in for the first')
        .env('GRAPEVINE_SERVER')
        .default([serverDefault], serverDefault)
        .argParser(serversOf),
    )
    .addOption(output)
}

export const connectTo = (context: Context, servers: readonly string[]): Promise<Mesh> =>
  connect({ servers, signal: context.terminal.stop, offline: 'fail' })

export const formatOf = (context: Context, options: ClientOptions): Format =>
  formatFor(context.terminal.stdout, options.output)
