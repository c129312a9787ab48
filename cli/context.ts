import { readFile } from 'node:fs/promises'
import { InvalidArgumentError, Option, type Command } from 'commander'
import { connect, type Mesh } from '#client/mesh'
import { baseUrlOf } from '#client/servers'
import { MeshError } from '#protocol/errors'
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
  readonly tokenFile?: string
}

/** Whom to ask, and as whom. */
export type Access = Pick<ClientOptions, 'server' | 'tokenFile'>

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
    .option('--token-file <file>', 'file with the token to show; without it, GRAPEVINE_TOKEN')
    .addOption(output)
}

export async function connectTo(context: Context, access: Access): Promise<Mesh> {
  const options = { servers: access.server, signal: context.terminal.stop, offline: 'fail' } as const
  return connect({ ...options, ...(await tokenOf(context, access)) })
}

/** Never an option by itself: whoever lists processes would see it. Throws USAGE. */
export async function tokenOf({ terminal }: Context, { tokenFile }: Access): Promise<{ readonly token?: string }> {
  const fromEnv = terminal.env['GRAPEVINE_TOKEN']
  if (tokenFile === undefined) return fromEnv ? { token: fromEnv } : {}
  const text = await readFile(tokenFile, 'utf8').catch((cause: unknown) => {
    const reason = (cause as NodeJS.ErrnoException).code ?? 'unknown error'
    throw new MeshError('USAGE', `--token-file ${tokenFile} cannot be read (${reason})`, { cause })
  })
  return { token: text.trim() }
}

export const formatOf = (context: Context, options: ClientOptions): Format =>
  formatFor(context.terminal.stdout, options.output)
