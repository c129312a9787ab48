import { fileURLToPath } from 'node:url'
import { pause } from '#client/backoff'
import { Mesh } from '#client/mesh'
import { MeshError } from '#protocol/errors'
import type { BackEnd, LabPeer } from '../back-end.ts'
import { PacketFilter } from '../packet-filter.ts'
import { composeCommand, docker, outputOf } from '../programs.ts'

const composeFile = fileURLToPath(new URL('../../docker/compose.yaml', import.meta.url))
/** A machine that is busy with other things takes long to start five Node processes. */
const startMsMax = 180_000
const askAgainMs = 100

export interface InContainersConfig {
  /** Services of `docker/compose.yaml`. */
  readonly names: readonly string[]
  /** On this machine, one per name, for clients. */
  readonly ports: readonly number[]
  /** Of Compose: what runs under this name is replaced, and goes with its volumes in the end. */
  readonly project: string
}

/**
 * Containers of `docker/compose.yaml`, and packets dropped where they arrive in their networks: iptables of this machine, since
 * the image has none, by nsenter. Root on the Linux machine where the engine runs.
 */
export class InContainers implements BackEnd {
  readonly #filter = new PacketFilter()
  readonly between = this.#filter.ways
  readonly #compose: (...args: readonly string[]) => Promise<string>
  readonly #ports: ReadonlyMap<string, number>
  readonly #peers: LabPeer[] = []

  private constructor(compose: (...args: readonly string[]) => Promise<string>, ports: ReadonlyMap<string, number>) {
    this.#compose = compose
    this.#ports = ports
  }

  /** Builds the image. Throws LAB_UNSUPPORTED without an engine, or without root. */
  static async create({ names, ports, project }: InContainersConfig): Promise<InContainers> {
    if (process.platform !== 'linux' || process.getuid?.() !== 0)
      throw new MeshError('LAB_UNSUPPORTED', '--via docker needs root on the Linux machine where the engine runs')
    await docker('version').catch((cause: unknown) => {
      throw new MeshError('LAB_UNSUPPORTED', '--via docker needs a Docker engine that runs', { cause })
    })
    const command = await composeCommand()
    const env = Object.fromEntries(names.map((name, i) => [`${name.toUpperCase()}_PORT`, String(ports[i])]))
    const compose = (...args: readonly string[]): Promise<string> =>
      outputOf([...command, '--file', composeFile, '--project-name', project, ...args], { env })
    const services = (await compose('config', '--services')).split('\n')
    const stranger = names.find((name) => !services.includes(name))
    if (stranger !== undefined)
      throw new MeshError('LAB_UNSUPPORTED', `docker/compose.yaml has no ${stranger}, but ${services.join(', ')}`)
    await compose('build')
    await compose('down', '--volumes', '--timeout', '5')
    return new InContainers(compose, new Map(names.map((name, i) => [name, ports[i] ?? 0])))
  }

  /** Whom it joins says the compose file. */
  async start(name: string): Promise<LabPeer> {
    await this.#compose('up', '--detach', '--no-build', '--no-deps', name)
    const container = await this.#compose('ps', '-q', name)
    const format = '{{.State.Pid}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}'
    const [pid = '', address = ''] = (await docker('inspect', '--format', format, container)).split(' ')
    await this.#filter.add(name, { enter: ['nsenter', '--target', pid, '--net'], address })
    const http = `http://127.0.0.1:${this.#ports.get(name)}`
    const client = new Mesh({ servers: [http], learnServers: false })
    const { peerId } = await selfOf(client, http, AbortSignal.timeout(startMsMax))
    const peer = { name, http, client, peerId }
    this.#peers.push(peer)
    return peer
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { client } of this.#peers) client.close()
    await this.#compose('down', '--volumes', '--timeout', '5')
  }
}

/** A port is published before anybody listens in the container. */
async function selfOf(client: Mesh, http: string, signal: AbortSignal): ReturnType<Mesh['self']> {
  for (;;) {
    try {
      return await client.self()
    } catch (error) {
      if (!(error instanceof MeshError)) throw error
      if (signal.aborted)
        throw new MeshError('UNAVAILABLE', `${http} did not answer in ${startMsMax / 1_000} s`, { cause: error })
      await pause(askAgainMs, new AbortController().signal)
    }
  }
}
