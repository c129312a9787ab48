import type { Epoch, PeerId } from '#protocol/ids'
import type { FeedStore } from '#storage/feed-store'
import { MemoryStore } from '#storage/memory-store'
import type { PeerBroker } from './broker.ts'
import type { PeerDriver } from './driver.ts'
import type { Transport } from './driver-ports.ts'
import { nodeDigests } from './node-digests.ts'
import { encodeRegistry } from './registry-codec.ts'
import { boot, type ManualClock } from './test-broker.ts'

export interface WiredPeer {
  readonly broker: PeerBroker
  readonly driver: PeerDriver
}

const memberOf = (peer: PeerId) => ({
  peer,
  facts: { name: peer, addresses: [], http: '', zone: '', counter: 1 },
  addresses: [],
  status: { type: 'member' as const, generation: 0 },
})

/** Peers that know each other, each a machine of its own, and the links between them that a test makes and breaks. */
export class WiredPeers {
  readonly #clock: ManualClock
  readonly #names: readonly PeerId[]
  readonly #peers = new Map<PeerId, WiredPeer>()
  /** By who sends on a link. */
  readonly #ends = new Map<string, { readonly to: PeerId; readonly link: number }>()
  #lastLink = 0

  private constructor(names: readonly string[], clock: ManualClock) {
    this.#names = names as readonly PeerId[]
    this.#clock = clock
  }

  static async boot(
    names: readonly string[],
    replicas: number,
    clock: ManualClock,
    storeOf: (name: string) => FeedStore = () => new MemoryStore(nodeDigests),
  ): Promise<WiredPeers> {
    const wired = new WiredPeers(names, clock)
    for (const [index, peer] of wired.#names.entries()) {
      const store = storeOf(peer)
      const value = encodeRegistry(wired.#names.map(memberOf))
      await store.append([], [{ type: 'meta', key: 'registry', value }])
      const epoch = (index + 1).toString(16).padStart(16, '0') as Epoch
      const transport = wired.#transportOf(peer)
      const facts = { name: peer, addresses: [], http: '', zone: '' }
      const more = { self: peer, facts, transport, clock, replication: { replicas } }
      wired.#peers.set(peer, await boot(store, epoch, more))
    }
    return wired
  }

  at(name: string): WiredPeer {
    return this.#peers.get(name as PeerId) as WiredPeer
  }

  link(a: string, b: string): void {
    const [one, other] = [a, b] as PeerId[] as [PeerId, PeerId]
    const [there, back] = [++this.#lastLink, ++this.#lastLink]
    this.#ends.set(`${one} ${there}`, { to: other, link: back })
    this.#ends.set(`${other} ${back}`, { to: one, link: there })
    this.at(a).driver.linkUp(there, other)
    this.at(b).driver.linkUp(back, one)
  }

  /** Whatever is on its way is lost. */
  cut(a: string, b: string): void {
    for (const [name, { to, link }] of this.#ends) {
      if (!(name.startsWith(`${a} `) && to === b) && !(name.startsWith(`${b} `) && to === a)) continue
      this.#ends.delete(name)
      this.at(to).driver.linkDown(link, 'broken', 'cut')
    }
  }

  /** Until all that is on its way has come, and what that has caused. */
  async settle(ms = 0): Promise<void> {
    this.#clock.advance(ms)
    for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate)
  }

  #transportOf(self: PeerId): Transport {
    const deliver = (link: number, arrive: (driver: PeerDriver, link: number) => void): void => {
      setImmediate(() => {
        const end = this.#ends.get(`${self} ${link}`)
        if (end !== undefined) arrive(this.at(end.to).driver, end.link)
      })
    }
    return {
      dial: () => {},
      sendControl: (link, frame) => deliver(link, (driver, there) => driver.controlFrame(there, frame)),
      sendData: (link, parts, written) => {
        const frame = Uint8Array.from(Buffer.concat(parts))
        deliver(link, (driver, there) => driver.dataFrame(there, frame))
        setImmediate(() => this.#ends.has(`${self} ${link}`) && written())
      },
      close: (link) => {
        const end = this.#ends.get(`${self} ${link}`)
        if (end !== undefined) setImmediate(() => this.cut(self, end.to))
      },
    }
  }
}
