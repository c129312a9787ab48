import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, Mesh } from '#client/mesh'
import { MeshError } from '#protocol/errors'
import type { BackEnd, BackEndName } from '#lab/back-end'
import { InContainers } from '#lab/back-ends/in-containers'
import { InNamespaces, type SpawnPeer } from '#lab/back-ends/in-namespaces'
import { InPeers } from '#lab/back-ends/in-peers'
import type { Scenario } from '#lab/scenario'
import { type Context, tokenOf } from './context.ts'
import { everyMember } from './every-member.ts'
import { memberNamed } from './lab-orders.ts'
import { LocalPeer, ownCommand } from './local-peer.ts'
import { freePorts } from './ports.ts'

/** A peer that does not end by itself so long after it was told to is ended. */
const stopMsMax = 10_000
const portFirst = 28_400
/** Of Compose, so that a mesh that runs under the name of its folder is left alone. */
const project = 'grapevine-lab'

export interface Ground {
  readonly via: BackEndName
  /** Of a mesh that runs; left out: one is started for this, and ends with it. */
  readonly server?: readonly string[]
}

/** Where the scenario is played. Whoever asks disposes of it. Throws LAB_UNSUPPORTED. */
export async function backEndFor(context: Context, scenario: Scenario, { via, server }: Ground): Promise<BackEnd> {
  const names = [...scenario.peers, ...scenario.joining]
  if (server !== undefined && via !== 'peers')
    throw new MeshError('LAB_UNSUPPORTED', `--via ${via} starts a mesh of its own: leave out --server`)
  switch (via) {
    case 'docker':
      return await InContainers.create({ names, ports: await freePorts(portFirst, names.length), project })
    case 'netns': {
      const processes = await LabProcesses.create()
      return await InNamespaces.create(names, { spawn: (peer) => processes.spawn(peer), stop: () => processes.stop() })
    }
    case 'peers':
      return server === undefined ? await ownPeers() : await runningPeers(context, scenario, server)
  }
}

async function ownPeers(): Promise<BackEnd> {
  const processes = await LabProcesses.create()
  const start = (name: string, seeds: readonly string[]) =>
    processes.spawn({
      name,
      listen: '127.0.0.1:0',
      http: '127.0.0.1:0',
      join: seeds.map((seed) => processes.listenOf(seed)),
      within: [],
    })
  return new InPeers({ start, stop: () => processes.stop() })
}

async function runningPeers(context: Context, { joining }: Scenario, server: readonly string[]): Promise<BackEnd> {
  if (joining.length > 0)
    throw new MeshError(
      'LAB_UNSUPPORTED',
      `${joining.join()} is to join, which needs a mesh of its own: leave out --server`,
    )
  // The token, if the mesh asks for one, is in the environment.
  const { present } = await everyMember(context, { server })
  const access = await tokenOf(context, { server })
  for (const { mesh } of present) mesh?.close()
  const start = async (name: string) => {
    const { member } = memberNamed(name, present)
    const client = await connect({
      servers: [member.http],
      learnServers: false,
      signal: context.terminal.stop,
      ...access,
    })
    return { name: member.name, peerId: member.id, http: member.http, client }
  }
  return new InPeers({ start, stop: () => Promise.resolve() })
}

/** Processes of `grapevine peer`, with their data in a directory that goes with them. */
class LabProcesses {
  readonly #directory: string
  readonly #peers: LocalPeer[] = []
  readonly #listens = new Map<string, string>()

  private constructor(directory: string) {
    this.#directory = directory
  }

  static async create(): Promise<LabProcesses> {
    return new LabProcesses(await mkdtemp(join(tmpdir(), 'grapevine-lab-')))
  }

  readonly spawn: SpawnPeer = async ({ name, listen, http, join: seeds, within }) => {
    const peer = new LocalPeer({
      name,
      data: join(this.#directory, name),
      listen,
      http,
      command: [...within, ...ownCommand()],
      // In a namespace it listens beyond loopback, where nobody else is.
      flags: within.length > 0 ? ['--insecure'] : [],
      ...(seeds.length > 0 && { join: seeds.join(',') }),
    })
    this.#peers.push(peer)
    const started = await peer.started
    this.#listens.set(name, started.listen[0] ?? '')
    const client = new Mesh({ servers: [started.http], learnServers: false })
    return { name, peerId: started.peerId, http: started.http, client }
  }

  listenOf(name: string): string {
    return this.#listens.get(name) ?? ''
  }

  async stop(): Promise<void> {
    const signal = (which: 'SIGTERM' | 'SIGKILL'): void => this.#peers.forEach((peer) => peer.stop(which))
    signal('SIGTERM')
    const timer = setTimeout(() => signal('SIGKILL'), stopMsMax)
    await Promise.all(this.#peers.map(({ ended }) => ended))
    clearTimeout(timer)
    await rm(this.#directory, { recursive: true, force: true })
  }
}
