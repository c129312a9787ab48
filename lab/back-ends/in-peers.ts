import type { BackEnd, LabPeer } from '../back-end.ts'
import { type Way, Ways } from '../ways.ts'

/** Makes a peer run, or finds the one that does. */
export type StartPeer = (name: string, seeds: readonly string[]) => Promise<LabPeer>

/** Lab mode of the peers themselves, over HTTP: works anywhere. They must run with --lab. */
export class InPeers implements BackEnd {
  readonly #start: StartPeer
  readonly #stop: () => Promise<void>
  readonly #peers = new Map<string, LabPeer>()
  readonly between = new Ways({ tell: (at, ways) => this.#tell(at, ways), tellHealed: () => this.#tellHealed() })

  constructor(parts: { readonly start: StartPeer; readonly stop: () => Promise<void> }) {
    this.#start = parts.start
    this.#stop = parts.stop
  }

  async start(name: string, seeds: readonly string[]): Promise<LabPeer> {
    const peer = await this.#start(name, seeds)
    this.#peers.set(name, peer)
    // It is known by its id now: to itself, and to those that were cut off from it before it came.
    await this.between.came(name)
    return peer
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A mesh that goes on without us is left whole.
    await Promise.allSettled([...this.#peers.values()].map(({ client }) => client.lab.heal()))
    for (const { client } of this.#peers.values()) client.close()
    await this.#stop()
  }

  async #tellHealed(): Promise<void> {
    await Promise.all([...this.#peers.values()].map(({ client }) => client.lab.heal()))
  }

  async #tell(name: string, ways: ReadonlyMap<string, Way>): Promise<void> {
    const links = [...ways].flatMap(([from, way]) => {
      const id = this.#peers.get(from)?.peerId
      return id === undefined ? [] : [{ from: id, ...way }]
    })
    await this.#peers.get(name)?.client.lab.setLinks(links)
  }
}
