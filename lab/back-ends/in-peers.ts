import type { BackEnd, LabPeer, Way } from '../back-end.ts'

/** Makes a peer run, or finds the one that does. */
export type StartPeer = (name: string, seeds: readonly string[]) => Promise<LabPeer>

/** Lab mode of the peers themselves, over HTTP: works anywhere. They must run with --lab. */
export class InPeers implements BackEnd {
  readonly #start: StartPeer
  readonly #stop: () => Promise<void>
  readonly #peers = new Map<string, LabPeer>()
  /** What each peer is to suffer of whom, by names. */
  readonly #ways = new Map<string, Map<string, Way>>()

  constructor(parts: { readonly start: StartPeer; readonly stop: () => Promise<void> }) {
    this.#start = parts.start
    this.#stop = parts.stop
  }

  async start(name: string, seeds: readonly string[]): Promise<LabPeer> {
    const peer = await this.#start(name, seeds)
    this.#peers.set(name, peer)
    // It is known by its id now: to itself, and to those that were cut off from it before it came.
    const concerned = [...this.#ways].filter(([at, ways]) => at === name || ways.has(name)).map(([at]) => at)
    await this.#tell(concerned)
    return peer
  }

  async cut(from: readonly string[], to: readonly string[]): Promise<void> {
    for (const at of to) for (const of of from) this.#waysTo(at).set(of, { loss: 1, delayMs: 0 })
    await this.#tell(to)
  }

  async link(from: string, to: string, way: Way): Promise<void> {
    this.#waysTo(to).set(from, way)
    await this.#tell([to])
  }

  async heal(): Promise<void> {
    this.#ways.clear()
    await Promise.all([...this.#peers.values()].map(({ client }) => client.lab.heal()))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A mesh that goes on without us is left whole.
    await Promise.allSettled([...this.#peers.values()].map(({ client }) => client.lab.heal()))
    for (const { client } of this.#peers.values()) client.close()
    await this.#stop()
  }

  #waysTo(name: string): Map<string, Way> {
    const ways = this.#ways.get(name) ?? new Map<string, Way>()
    this.#ways.set(name, ways)
    return ways
  }

  async #tell(names: readonly string[]): Promise<void> {
    await Promise.all(names.map((name) => this.#tellOne(name)))
  }

  async #tellOne(name: string): Promise<void> {
    const links = [...this.#waysTo(name)].flatMap(([from, way]) => {
      const id = this.#peers.get(from)?.peerId
      return id === undefined ? [] : [{ from: id, ...way }]
    })
    await this.#peers.get(name)?.client.lab.setLinks(links)
  }
}
