import { once } from 'node:events'
import { Command, Option } from 'commander'
import { flagNameOf, nodeConfigSchema, parseNodeConfig } from '#node/config'
import type { RunningPeer } from '#node/main'
import { version } from '#node/version'
import { collected, type Context } from './context.ts'
import { jsonLine } from './output.ts'
import { say, styled, write, type Terminal } from './terminal.ts'

/** Of the peers that this command runs, and so of itself. */
export { version }

const help = `
Each option is also an environment variable, such as GRAPEVINE_ADVERTISE_HTTP;
options win. On a stdout that is no terminal exactly one line is printed, once
the peer is up:
  {"event":"started","name":…,"peerId":…,"listen":[…],"http":…}
Logs go to stderr. On SIGTERM, SIGINT or Ctrl-C the peer finishes what it has
accepted, says good-bye to the others and exits with 0; a second one ends it at
once.

Examples:
  $ grapevine peer --name oak
  $ grapevine peer --name elm --join 127.0.0.1:7400 \\
      --listen 127.0.0.1:7401 --http 127.0.0.1:8401
  $ GRAPEVINE_JOIN=peers.example.org:7400 grapevine peer --insecure \\
      --listen 0.0.0.0:7400 --http 0.0.0.0:8400`

/** `grapevine peer`: the only file of cli/ that knows node/ (DESIGN §2). */
export function peerCommand(context: Context): Command {
  const command = new Command('peer').description('run one peer').addHelpText('after', help)
  for (const [field, schema] of Object.entries(nodeConfigSchema.shape)) command.addOption(optionOf(field, schema))
  return command.action(async (flags: Record<string, unknown>) => {
    const { terminal } = context
    const config = parseNodeConfig({ flags, env: terminal.env })
    // Not at the top: other commands start without libp2p.
    const [{ startPeer }, { createLog }, { growHeapFreely }] = await Promise.all([
      import('#node/main'),
      import('#node/log'),
      import('#node/heap-growth'),
    ])
    growHeapFreely()
    const peer = await startPeer(config, createLog(config.name, config.logLevel))
    await announce(terminal, peer)
    const end = await Promise.race([peer.failed, aborted(terminal.stop)])
    await peer.drain()
    if (end !== undefined) throw end
  })
}

type FieldSchema = (typeof nodeConfigSchema.shape)[keyof typeof nodeConfigSchema.shape]

const switches: ReadonlySet<string> = new Set(['lab', 'insecure'])

/** May be repeated. */
const lists: ReadonlySet<string> = new Set(['join', 'allowOrigin'])

/** Values stay text: the schema reads them, from flags as from the environment. */
function optionOf(field: string, schema: FieldSchema): Option {
  const flag = switches.has(field) ? flagNameOf(field) : `${flagNameOf(field)} <value>`
  const option = new Option(flag, `${schema.description ?? ''}${defaultText(schema)}`)
  return lists.has(field) ? option.argParser(collected) : option
}

function defaultText(schema: FieldSchema): string {
  const { data } = schema.safeParse(undefined)
  const isTold = schema.description?.includes('(default') === true
  return typeof data === 'string' && data !== '' && !isTold ? ` (default: ${data})` : ''
}

async function announce(terminal: Terminal, peer: RunningPeer): Promise<void> {
  const { name, peerId, listen, http } = peer
  if (terminal.stdout.isTTY !== true) return write(terminal, jsonLine({ event: 'started', name, peerId, listen, http }))
  say(
    terminal,
    `${styled(terminal.stderr, 'bold', name)} is up: clients at ${http}, peers at ${listen.join(', ')}. Ctrl-C ends it.`,
  )
}

async function aborted(signal: AbortSignal): Promise<undefined> {
  if (!signal.aborted) await once(signal, 'abort')
}
