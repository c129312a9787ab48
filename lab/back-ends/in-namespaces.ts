import type { BackEnd, LabPeer } from '../back-end.ts'
import { Namespaces } from '../netns/namespaces.ts'
import { PacketFilter } from '../packet-filter.ts'
import type { Between } from '../ways.ts'

/** Makes the process of a peer run, and a client for it. */
export type SpawnPeer = (peer: {
  readonly name: string
  /** `host:port`; port 0 takes a free one. */
  readonly listen: string
  readonly http: string
  /** `host:port` of peers that are up. */
  readonly join: readonly string[]
  /** What to put before the command. */
  readonly within: readonly string[]
}) => Promise<LabPeer>

/** A network namespace per peer, and packets dropped between them. Root on Linux, in a sandbox (`netns/sandbox.ts`). */
export class InNamespaces implements BackEnd {
  readonly between: Between
  readonly #network: Namespaces
  readonly #spawn: SpawnPeer
  readonly #stop: () => Promise<void>
  readonly #peers: LabPeer[] = []

  private constructor(parts: {
    readonly network: Namespaces
    readonly between: Between
    readonly spawn: SpawnPeer
    readonly stop: () => Promise<void>
  }) {
    this.#network = parts.network
    this.between = parts.between
    this.#spawn = parts.spawn
    this.#stop = parts.stop
  }

  /** `stop` ends what `spawn` has started. */
  static async create(
    names: readonly string[],
    { spawn, stop }: { readonly spawn: SpawnPeer; readonly stop: () => Promise<void> },
  ): Promise<InNamespaces> {
    const network = await Namespaces.create(names)
    const filter = new PacketFilter()
    for (const name of names) await filter.add(name, { enter: network.enter(name), address: network.addressOf(name) })
    return new InNamespaces({ network, between: filter.ways, spawn, stop })
  }

  async start(name: string, seeds: readonly string[]): Promise<LabPeer> {
    const at = (peer: string, port: number): string => `${this.#network.addressOf(peer)}:${port}`
    const join = seeds.map((seed) => at(seed, 7_400))
    const within = this.#network.enter(name)
    const peer = await this.#spawn({ name, listen: at(name, 7_400), http: at(name, 8_400), join, within })
    this.#peers.push(peer)
    return peer
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { client } of this.#peers) client.close()
    await this.#stop()
    await this.#network[Symbol.asyncDispose]()
  }
}
