import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually, type ProcessPeer, sees, startMesh } from '../integration/process-peer.ts'
import { Namespaces } from '#lab/netns/namespaces'

/** One peer per namespace, each a process started by the command that people use. */
export class Mesh implements AsyncDisposable {
  readonly network: Namespaces
  readonly #peers: ProcessPeer[]
  readonly #started: AsyncDisposableStack

  private constructor(network: Namespaces, peers: readonly ProcessPeer[], started: AsyncDisposableStack) {
    this.network = network
    this.#peers = [...peers]
    this.#started = started
  }

  /** Resolves when all see all alive. `flags`: more of `grapevine peer`; `nodeOptions`: of its Node. */
  static async start(
    names: readonly string[],
    profile = process.env['NETNS_PROFILE'] ?? 'local',
    {
      flags = [],
      nodeOptions = [],
    }: { readonly flags?: readonly string[]; readonly nodeOptions?: readonly string[] } = {},
  ): Promise<Mesh> {
    await using started = new AsyncDisposableStack()
    const directory = await mkdtemp(join(tmpdir(), 'grapevine-netns-'))
    started.defer(() => rm(directory, { recursive: true, force: true }))
    const network = started.use(await Namespaces.create(names))
    const peers = await startMesh(directory, names, (name) => ({
      within: [...network.enter(name), 'env', `NODE_OPTIONS=${nodeOptions.join(' ')}`],
      listen: `${network.addressOf(name)}:7400`,
      http: `${network.addressOf(name)}:8400`,
      flags: ['--insecure', '--profile', profile, ...flags],
    }))
    for (const peer of peers) started.use(peer)
    return new Mesh(network, peers, started.move())
  }

  get peers(): readonly ProcessPeer[] {
    return this.#peers
  }

  get names(): readonly string[] {
    return this.peers.map(({ name }) => name)
  }

  peer(name: string): ProcessPeer {
    return this.peers.find((peer) => peer.name === name) as ProcessPeer
  }

  /** The process of this peer has ended: the same directory and ports, in a new one. */
  async restart(name: string): Promise<void> {
    const index = this.#peers.findIndex((peer) => peer.name === name)
    this.#peers[index]?.client.close()
    this.#peers[index] = this.#started.use(await this.peer(name).restart())
  }

  /** Every peer of `at` believes every member of `of` to be in that state, itself left out. */
  async allSee(at: readonly string[], of: readonly string[], state: string): Promise<boolean> {
    const seen = at.map((name) => {
      const others = of.filter((other) => other !== name)
      return sees(this.peer(name), others, state)
    })
    return (await Promise.all(seen)).every(Boolean)
  }

  async allAlive(): Promise<void> {
    await eventually('all are alive again', () => this.allSee(this.names, this.names, 'alive'))
  }

  /** What this peer has come to believe of that member since it started, such as `suspect`, with the reason. */
  async beliefs(at: string, of: string): Promise<readonly { to: string; reason: string }[]> {
    const { events } = await this.peer(at).client.gossip()
    return events.filter(({ name }) => name === of).map(({ to, reason }) => ({ to, reason }))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#started.disposeAsync()
  }
}
