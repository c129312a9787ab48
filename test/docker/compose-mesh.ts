import { Mesh } from '#client/mesh'
import { freePorts } from '#cli/ports'
import { composeCommand, docker, outputOf, run, type Ran } from '#lab/programs'

const names = ['oak', 'elm', 'ash', 'fir', 'yew']

/** Where the search for free ports begins: below those that the system hands out by itself. */
const portFirst = 28_400

export interface ContainerPeer {
  readonly name: string
  readonly container: string
  /** Through the published port: gone while the container is cut off from its network. */
  readonly client: Mesh
  readonly http: string
}

/** The project of `docker/compose.yaml` under a name and on ports of its own. */
export class ComposeMesh implements AsyncDisposable {
  readonly #command: readonly string[]
  readonly #project: string
  readonly #env: Readonly<Record<string, string>>
  /** Containers beside the project. */
  readonly #others: string[] = []
  #peers: readonly ContainerPeer[] = []

  private constructor(parts: { command: readonly string[]; project: string; env: Readonly<Record<string, string>> }) {
    this.#command = parts.command
    this.#project = parts.project
    this.#env = parts.env
  }

  static async create(): Promise<ComposeMesh> {
    const ports = await freePorts(portFirst, names.length)
    const env = Object.fromEntries(names.map((name, i) => [`${name.toUpperCase()}_PORT`, String(ports[i])]))
    return new ComposeMesh({ command: await composeCommand(), project: `grapevine-test-${process.pid}`, env })
  }

  get peers(): readonly ContainerPeer[] {
    return this.#peers
  }

  peer(name: string): ContainerPeer {
    return this.#peers.find((peer) => peer.name === name) as ContainerPeer
  }

  async build(): Promise<void> {
    await this.compose('build')
  }

  async up(): Promise<void> {
    await this.compose('up', '--detach', '--no-build')
    this.#peers = await Promise.all(names.map((name) => this.#peerOf(name)))
  }

  compose(...args: readonly string[]): Promise<string> {
    const command = [...this.#command, '--file', 'docker/compose.yaml', '--project-name', this.#project, ...args]
    return outputOf(command, { env: this.#env })
  }

  /** Takes the container off the network: its address, its name and its published port go. */
  async cut({ container }: ContainerPeer): Promise<void> {
    await docker('network', 'disconnect', this.network, container)
  }

  /** Without the alias the others would not find its name again. */
  async heal({ name, container }: ContainerPeer): Promise<void> {
    await docker('network', 'connect', '--alias', name, this.network, container)
  }

  /** Somebody else comes to the network, and is given the lowest free address. */
  async bringStranger(): Promise<void> {
    await this.start(['--network', this.network, '--entrypoint', 'sleep'], ['infinity'])
  }

  async addressOf(container: string): Promise<string> {
    return docker('inspect', '--format', '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}', container)
  }

  /** One more container of the image. Returns its id. */
  async start(options: readonly string[], command: readonly string[]): Promise<string> {
    const container = await docker('run', '--detach', ...options, 'grapevine', ...command)
    this.#others.push(container)
    return container
  }

  logs(): Promise<string> {
    return this.compose('logs', '--no-color', '--tail', '40')
  }

  /** Nothing stays but the image. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const peer of this.#peers) peer.client.close()
    for (const container of this.#others) await run(['docker', 'rm', '--force', '--volumes', container])
    await this.compose('down', '--volumes', '--timeout', '5')
  }

  get network(): string {
    return `${this.#project}_default`
  }

  async #peerOf(name: string): Promise<ContainerPeer> {
    const http = `http://127.0.0.1:${this.#env[`${name.toUpperCase()}_PORT`]}`
    return { name, container: await this.compose('ps', '-q', name), client: new Mesh({ servers: [http] }), http }
  }
}

/** `grapevine …` inside of a container, where it finds its own peer whatever became of the network. */
export const grapevine = (container: string, args: readonly string[], input = ''): Promise<Ran> =>
  run(['docker', 'exec', '--interactive', container, 'grapevine', ...args], { input })

/** The lines of JSON that a command printed. */
export const jsonLines = <T>({ stdout }: Ran): readonly T[] =>
  stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as T)
