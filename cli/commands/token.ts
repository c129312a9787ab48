import { createHash, randomBytes } from 'node:crypto'
import { Command, Option } from 'commander'
import { MeshError } from '#protocol/errors'
import { actions, type Grants, parseGrants } from '#protocol/grants'
import { isTokenName, type StoredToken, tokenText } from '#protocol/token-file'
import { collected, connectTo, formatOf, withClientOptions, type ClientOptions, type Context } from '../context.ts'
import { durationMsOf } from '../duration.ts'
import { type Format, jsonLine, writeRows } from '../output.ts'
import { say, write } from '../terminal.ts'
import { changeTokens, readTokens } from '../token-file.ts'

const help = `
The file is what peers are started with, each with the same: peer --tokens-file.
They see what is changed there within a second or two. It has hashes of tokens
and no tokens: keep what create prints, it is shown once.

Examples:
  $ grapevine token create shop --publish 'orders.**' --expires 90d --tokens-file tokens.json
  $ grapevine token create ops --admin --tokens-file tokens.json > ops.token
  $ grapevine topics --token-file ops.token
  $ grapevine token ls --tokens-file tokens.json
  $ grapevine token revoke 3f2a9c0e51b7d684 --tokens-file tokens.json`

export function tokenCommand(context: Context): Command {
  const token = new Command('token').description('make, list and revoke tokens of clients').addHelpText('after', help)
  for (const command of [createCommand, listCommand, revokeCommand]) token.addCommand(command(context))
  return token
}

const fileOption = (): Option => new Option('--tokens-file <file>', 'file with the tokens').env('GRAPEVINE_TOKENS_FILE')

const patternsOption = (action: string, what: string): Option =>
  new Option(
    `--${action} <patterns>`,
    `${what}: names and patterns of topics, comma-separated; may be repeated`,
  ).argParser((text: string, before?: readonly string[]) =>
    text.split(',').reduce<string[]>((all, one) => collected(one.trim(), all), [...(before ?? [])]),
  )

// Creating -------------------------------------------------------------------------------------------------------------

interface CreateOptions {
  readonly tokensFile?: string
  readonly publish?: readonly string[]
  readonly subscribe?: readonly string[]
  readonly manage?: readonly string[]
  readonly admin?: boolean
  readonly expires?: number
  readonly output?: Format
}

const createHelp = `
Patterns: * is one token, a last ** the rest. $mesh is the mesh itself: to
subscribe to it is to see its members and figures, to manage it to decide on
them. No pattern matches that: it has to be named, as $topics has.

Examples:
  $ grapevine token create shop --publish 'orders.**' --subscribe 'orders.**,bills'
  $ grapevine token create prometheus --subscribe '$mesh'`

const everything = { publish: ['**'], subscribe: ['**', '$topics', '$mesh'], manage: ['**', '$mesh'] }

const createCommand = (context: Context): Command =>
  new Command('create')
    .description('make a token, and print it, once')
    .argument('<name>', 'whom it is for; all tokens of one name are one client to the mesh')
    .addOption(patternsOption('publish', 'to publish to'))
    .addOption(patternsOption('subscribe', 'to read'))
    .addOption(patternsOption('manage', 'to make, configure and delete'))
    .option('--admin', 'everything')
    .addOption(
      new Option('--expires <duration>', 'how long it is good, such as 90d (default: for ever)').argParser(
        durationMsOf,
      ),
    )
    .addOption(fileOption())
    .addOption(new Option('-o, --output <format>', 'json tells its id, too').choices(['json']))
    .addHelpText('after', createHelp)
    .action(async (name: string, options: CreateOptions) => {
      const path = fileOf(options)
      if (!isTokenName(name)) throw usage('The name of a token has 1 to 128 letters, digits and ._@:/-')
      const [id, secret] = [randomBytes(8).toString('hex'), randomBytes(32).toString('hex')]
      const sha256 = createHash('sha256').update(secret).digest('hex')
      const expires =
        options.expires === undefined ? {} : { expires: new Date(Date.now() + options.expires).toISOString() }
      const token: StoredToken = { id, name, sha256, ...grantsOf(options), ...expires }
      await changeTokens(path, (tokens) => [...tokens, token])
      const text = tokenText({ id, secret })
      say(context.terminal, `token ${id} of ${name} is in ${path}, as a hash. Keep it: it is not shown again.`)
      await write(
        context.terminal,
        options.output === 'json' ? jsonLine({ id, name, token: text, ...expires }) : `${text}\n`,
      )
    })

function grantsOf({ admin = false, publish, subscribe, manage }: CreateOptions): Grants {
  const asked = admin ? everything : { publish, subscribe, manage }
  if (admin && (publish ?? subscribe ?? manage) !== undefined)
    throw usage('--admin is everything: leave the others out.')
  const grants = parseGrants(asked)
  if (typeof grants === 'string') throw usage(`The token ${grants}.`)
  if (actions.every((action) => grants[action].length === 0))
    throw usage('A token that grants nothing is of no use: --publish, --subscribe, --manage or --admin.')
  return grants
}

// Listing and revoking ---------------------------------------------------------------------------------------------------

const listCommand = (context: Context): Command =>
  new Command('ls')
    .description('the tokens of the file')
    .addOption(fileOption())
    .addOption(new Option('-o, --output <format>').choices(['table', 'json']))
    .addHelpText('after', '\nExample:\n  $ grapevine token ls --tokens-file tokens.json')
    .action(async (options: Pick<CreateOptions, 'tokensFile' | 'output'>) => {
      const tokens = await readTokens(fileOf(options))
      // A hash is no secret, and nobody's business either.
      const rows = tokens.map(({ id, name, publish, subscribe, manage, expires, revoked }) => {
        const ends = { ...(expires !== undefined && { expires }), ...(revoked !== undefined && { revoked }) }
        return { id, name, publish, subscribe, manage, ...ends, state: stateOf(ends) }
      })
      await writeRows(context.terminal, formatOf(context, { server: [], ...options }), rows, [
        { title: 'id', of: ({ id }) => id },
        { title: 'name', of: ({ name }) => name, style: () => 'bold' },
        { title: 'publish', of: ({ publish }) => publish.join(',') || '-' },
        { title: 'subscribe', of: ({ subscribe }) => subscribe.join(',') || '-' },
        { title: 'manage', of: ({ manage }) => manage.join(',') || '-' },
        { title: 'expires', of: (row) => ('expires' in row ? row.expires : 'never') },
        { title: 'state', of: ({ state }) => state },
      ])
    })

function stateOf({ expires, revoked }: Pick<StoredToken, 'expires' | 'revoked'>): string {
  if (revoked !== undefined) return `revoked ${revoked}`
  return expires !== undefined && Date.parse(expires) <= Date.now() ? 'expired' : 'good'
}

const revokeHelp = `
In the file: those who run with it refuse the token within a second or two, and
end what is under way for it. With --mesh the peer at --server is told, and tells
all others, also those that come back later: for files that are not at hand, and
for signed tokens, whose id is their jti.

Examples:
  $ grapevine token revoke 3f2a9c0e51b7d684 --tokens-file tokens.json
  $ grapevine token revoke 3f2a9c0e51b7d684 --mesh --token-file ops.token`

const revokeCommand = (context: Context): Command =>
  withClientOptions(new Command('revoke'))
    .description('have a token be good no more')
    .argument('<id>', 'as ls has it')
    .addOption(fileOption())
    .option('--mesh', 'tell the mesh')
    .addHelpText('after', revokeHelp)
    .action(async (id: string, options: ClientOptions & { readonly tokensFile?: string; readonly mesh?: boolean }) => {
      if (options.mesh === true) {
        await using mesh = await connectTo(context, options)
        await mesh.revokeToken(id, { signal: context.terminal.stop })
        say(context.terminal, `token ${id} is revoked in the mesh`)
      }
      if (options.mesh === true && options.tokensFile === undefined) return
      const path = fileOf(options)
      await changeTokens(path, (tokens) => {
        if (!tokens.some((token) => token.id === id)) throw usage(`${path} has no token ${id}.`)
        const revoked = new Date().toISOString()
        return tokens.map((token) => (token.id === id ? { ...token, revoked: token.revoked ?? revoked } : token))
      })
      say(context.terminal, `token ${id} is revoked in ${path}`)
    })

function fileOf({ tokensFile }: { readonly tokensFile?: string }): string {
  if (tokensFile !== undefined) return tokensFile
  throw usage('Which file? Say --tokens-file, or set GRAPEVINE_TOKENS_FILE.')
}

const usage = (problem: string): MeshError => new MeshError('USAGE', problem)
