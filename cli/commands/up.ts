import { once } from 'node:events'
import { join } from 'node:path'
import { Command, InvalidArgumentError, Option } from 'commander'
import { pause } from '#client/backoff'
import { connect } from '#client/mesh'
import { outputOption, serverDefault, type Context } from '../context.ts'
import { LocalPeer, ownCommand, type StartedEvent } from '../local-peer.ts'
import { counted, formatFor, writeRows, type Format } from '../output.ts'
import { freePorts } from '../ports.ts'
import { say, styled, warn, type Terminal } from '../terminal.ts'

const names = ['oak', 'elm', 'ash', 'fir', 'yew', 'bay', 'box', 'fig', 'gum', 'ivy', 'koa', 'nut'] as const

const peerPortFirst = 7_400
const httpPortFirst = 8_400

/** How long peers may take to find each other before we say so. */
const meetMsMax = 10_000
/** A peer that has not drained by then is ended. */
const drainMsMax = 15_000

const help = `
Peers are called ${names.slice(0, 4).join(', ')} … and keep identity, records and log
(peer.log) in ./data/<name>: start again and they go on where they were. A port
that is taken is skipped. Lab mode is on, so that you may cut the mesh. Ctrl-C
stops all of them cleanly. A peer that ends by itself ends the others, too, and
the exit code is 1.

Examples:
  $ grapevine up
  $ grapevine up --peers 5 --data /tmp/mesh`

interface UpOptions {
  readonly peers: number
  readonly data: string
  readonly output?: Format
}

/** `peer` is what runs one peer; tests put something smaller there. */
export function upCommand(context: Context, peer: readonly string[] = ownCommand()): Command {
  return new Command('up')
    .description('start a mesh on this machine, one process per peer')
    .addOption(new Option('-p, --peers <count>', 'how many').argParser(peerCountOf).default(3))
    .option('-d, --data <directory>', 'where their directories go', './data')
    .addOption(outputOption())
    .addHelpText('after', help)
    .action(async (options: UpOptions) => {
      const { terminal } = context
      const peers: LocalPeer[] = []
      try {
        const started = await startAll({ terminal, peer, options, peers })
        await show(terminal, options, started)
        await Promise.race([aborted(terminal.stop), firstFailure(peers)])
      } catch (error) {
        // Being stopped is how this ends, also when it had not quite begun.
        if (!terminal.stop.aborted) throw error
      } finally {
        await stopAll(terminal, peers)
      }
      say(terminal, `Stopped; ${options.data} keeps what the peers know.`)
    })
}

interface Start {
  readonly terminal: Terminal
  readonly peer: readonly string[]
  readonly options: UpOptions
  /** Grows as peers are started, so that they can be stopped whatever happens. */
  readonly peers: LocalPeer[]
}

/** The first peer is up before the others join it. */
async function startAll({ terminal, peer, options, peers }: Start): Promise<StartedEvent[]> {
  const peerPorts = await freePorts(peerPortFirst, options.peers)
  const httpPorts = await freePorts(httpPortFirst, options.peers)
  const start = (i: number, seed?: string): Promise<StartedEvent> => {
    const name = names[i] as string
    const local = new LocalPeer({
      name,
      data: join(options.data, name),
      listen: `127.0.0.1:${peerPorts[i]}`,
      http: `127.0.0.1:${httpPorts[i]}`,
      command: peer,
      ...(seed === undefined ? {} : { join: seed }),
    })
    peers.push(local)
    return unlessStopped(terminal, local.started)
  }
  const first = await start(0)
  const others = names.slice(1, options.peers).map((_, i) => start(i + 1, first.listen[0]))
  return [first, ...(await Promise.all(others))]
}

async function show(terminal: Terminal, options: UpOptions, started: readonly StartedEvent[]): Promise<void> {
  await writeRows(terminal, formatFor(terminal.stdout, options.output), started, [
    { title: 'peer', of: (peer) => peer.name, style: () => 'bold' },
    { title: 'clients', of: (peer) => peer.http },
    { title: 'peers', of: (peer) => peer.listen.join(' ') },
    { title: 'data', of: (peer) => join(options.data, peer.name) },
  ])
  const met = await meet(terminal, started)
  if (met) {
    say(terminal, `\nA mesh of ${counted(started.length, 'peer')} is up. Ctrl-C stops it. In another terminal, try:\n`)
  } else {
    warn(
      terminal,
      `not all peers have found each other within ${meetMsMax / 1_000} s: see "grapevine members" and peer.log`,
    )
  }
  for (const line of nextCommands(started)) say(terminal, `  ${styled(terminal.stderr, 'cyan', line)}`)
}

/** True once every peer sees all of them alive. */
async function meet(terminal: Terminal, started: readonly StartedEvent[]): Promise<boolean> {
  const signal = AbortSignal.any([terminal.stop, AbortSignal.timeout(meetMsMax)])
  const seesAll = async ({ http }: StartedEvent): Promise<void> => {
    await using mesh = await connect({ servers: [http], signal })
    const ids = started.map(({ peerId }) => peerId)
    for (;;) {
      const alive = (await mesh.members({ signal })).filter(({ state }) => state === 'alive').map(({ id }) => id)
      if (ids.every((id) => alive.includes(id))) return
      await pause(50, signal)
    }
  }
  return Promise.all(started.map(seesAll)).then(
    () => true,
    () => {
      terminal.stop.throwIfAborted()
      return false
    },
  )
}

/** The README's first commands. Where ports were taken, those of the README work once the variable is set. */
export function nextCommands(started: readonly Pick<StartedEvent, 'name' | 'http'>[]): string[] {
  const [first, ...others] = started
  const reader = others.at(-1)
  return [
    ...(first?.http === serverDefault ? [] : [`export GRAPEVINE_SERVER=${first?.http}`]),
    "npx grapevine pub orders 'ten pears' --ack all",
    `npx grapevine sub orders --from earliest --until-caught-up${reader === undefined ? '' : ` --server ${reader.http}`}`,
    'npx grapevine members',
    ...(others.length === 0
      ? []
      : [`npx grapevine lab split ${first?.name} / ${others.map(({ name }) => name).join(',')}`]),
  ]
}

async function firstFailure(peers: readonly LocalPeer[]): Promise<never> {
  throw await Promise.race(peers.map((peer) => peer.failure()))
}

async function stopAll(terminal: Terminal, peers: readonly LocalPeer[]): Promise<void> {
  for (const peer of peers) peer.stop('SIGTERM')
  const kill = (): void => {
    for (const peer of peers) peer.stop('SIGKILL')
  }
  const timer = setTimeout(() => {
    warn(terminal, `peers still busy after ${drainMsMax / 1_000} s are ended`)
    kill()
  }, drainMsMax)
  terminal.force.addEventListener('abort', kill)
  await Promise.all(peers.map((peer) => peer.ended))
  clearTimeout(timer)
}

async function unlessStopped<T>(terminal: Terminal, promise: Promise<T>): Promise<T> {
  return Promise.race([promise, aborted(terminal.stop).then((): never => terminal.stop.throwIfAborted() as never)])
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await once(signal, 'abort')
}

function peerCountOf(text: string): number {
  const count = Number(text)
  if (Number.isInteger(count) && count >= 1 && count <= names.length) return count
  throw new InvalidArgumentError(`It must be a whole number from 1 to ${names.length}.`)
}
