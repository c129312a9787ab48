import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { connect, type Mesh } from '#client/mesh'
import { eventually as askedUntil } from '#lab/eventually'

export const cli = fileURLToPath(new URL('../../cli/grapevine.js', import.meta.url))
const logLinesMax = 200

export interface PeerOptions {
  readonly name: string
  readonly data: string
  readonly join?: readonly string[]
  /** Ports to take again after a restart; free ones at first. */
  readonly listen?: string
  readonly http?: string
  /** Of its client, where the peer asks for one. */
  readonly token?: string
  /** More flags of `grapevine peer`; they win over ours. */
  readonly flags?: readonly string[]
  /** What to put before the command, such as `ip netns exec oak`. It must become the command: signals go there. */
  readonly within?: readonly string[]
}

/** A real peer in a process of its own, started by the command that people use. Loopback, free ports, lab mode. */
export class ProcessPeer implements AsyncDisposable {
  readonly options: PeerOptions
  readonly name: string
  readonly listen: string
  readonly http: string
  readonly peerId: string
  /** A client that knows this peer only. */
  readonly client: Mesh
  /** Resolves when the process ends, for whatever reason: its exit code, or the signal that ended it. */
  readonly ended: Promise<number | string | null>
  readonly #process: ChildProcess
  readonly #log: string[]

  private constructor(
    options: PeerOptions,
    started: { name: string; peerId: string; listen: string[]; http: string },
    parts: { process: ChildProcess; ended: ProcessPeer['ended']; log: string[]; client: Mesh },
  ) {
    this.options = options
    this.name = started.name
    this.peerId = started.peerId
    this.listen = started.listen[0] ?? ''
    this.http = started.http
    this.client = parts.client
    this.ended = parts.ended
    this.#process = parts.process
    this.#log = parts.log
  }

  static async start(options: PeerOptions): Promise<ProcessPeer> {
    const { name, data, join = [], listen = '127.0.0.1:0', http = '127.0.0.1:0' } = options
    const flags = ['--name', name, '--data', data, '--listen', listen, '--http', http, '--profile', 'local', '--lab']
    if (join.length > 0) flags.push('--join', join.join(','))
    const command = [process.execPath, cli, 'peer', ...flags, ...(options.flags ?? [])]
    const [program = '', ...args] = [...(options.within ?? []), ...command]
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    const log: string[] = []
    createInterface({ input: child.stderr }).on('line', (line) => {
      log.push(line)
      if (log.length > logLinesMax) log.shift()
    })
    const firstLine = once(createInterface({ input: child.stdout }), 'line') as Promise<[string]>
    const ended = endOf(child)
    const line = await Promise.race([firstLine, ended.then(() => undefined)])
    if (line === undefined) throw new Error(`${name} did not start:\n${log.join('\n')}`)
    const started = JSON.parse(line[0]) as { name: string; peerId: string; listen: string[]; http: string }
    const client = await connect({
      servers: [started.http],
      learnServers: false,
      offline: 'fail',
      ...(options.token !== undefined && { token: options.token }),
    })
    return new ProcessPeer(options, started, { process: child, ended, log, client })
  }

  /** The same directory and ports, in a new process. It finds the others by what it remembers. */
  restart(): Promise<ProcessPeer> {
    const { listen, http } = this
    return ProcessPeer.start({ ...this.options, join: [], listen, http: http.replace(/^http:\/\//, '') })
  }

  /** Sends the signal and waits for the end: the exit code, or the signal that ended it. */
  end(signal: NodeJS.Signals): Promise<number | string | null> {
    this.signal(signal)
    return this.ended
  }

  /** Such as SIGSTOP and SIGCONT, which do not end it. */
  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal)
  }

  get isRunning(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null
  }

  get pid(): number {
    return this.#process.pid ?? 0
  }

  get log(): string {
    return this.#log.join('\n')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.close()
    await this.end('SIGKILL')
  }
}

async function endOf(child: ChildProcess): Promise<number | string | null> {
  const [code, by] = (await once(child, 'exit')) as [number | null, string | null]
  return by ?? code
}

/** Starts peers that know each other: the first is whom the others join. Resolves when all see all alive. */
export async function startMesh(
  directory: string,
  names: readonly string[],
  optionsOf: (name: string) => Partial<PeerOptions> = () => ({}),
): Promise<ProcessPeer[]> {
  const peers: ProcessPeer[] = []
  for (const name of names) {
    const join = peers.slice(0, 1).map(({ listen }) => listen)
    peers.push(await ProcessPeer.start({ name, data: `${directory}/${name}`, join, ...optionsOf(name) }))
  }
  await eventually('all see all alive', async () => {
    for (const peer of peers) if (!(await sees(peer, names, 'alive'))) return false
    return true
  })
  return peers
}

/** Does this peer believe that all these members are in that state? */
export async function sees(peer: ProcessPeer, names: readonly string[], state: string): Promise<boolean> {
  const members = await peer.client.members()
  return names.every((name) => members.some((member) => member.name === name && member.state === state))
}

/** Asks again until it is true. Fails with `what`, and the last error, when `deadlineMs` is over. */
export const eventually = (what: string, isTrue: () => Promise<boolean>, deadlineMs = 30_000): Promise<void> =>
  askedUntil(what, isTrue, { deadlineMs, everyMs: 25 })
