import { addressesOf } from './addresses.ts'
import type { Admission } from './admission.ts'
import { dialReasonOf, isDialToSelf } from './dial-reason.ts'
import { peerOf } from './link.ts'
import { networkLimits } from './network-limits.ts'
import type { MeshNode } from './libp2p-node.ts'
import type { DialTarget, LinkId } from '../driver-ports.ts'
import type { Connection } from '@libp2p/interface'
import type { PeerId } from '#protocol/ids'

export interface DialerConfig {
  readonly self: PeerId
}

/** What a dial wants to know of the links, which come up by themselves once there is a connection. */
export interface LinkTable {
  /** Ids rise. */
  readonly newestLinkId: LinkId
  linkIdOf(peer: PeerId): LinkId | undefined
  /** Runs at the next link with that peer, unless undone by the function that is returned. */
  onLinked(peer: PeerId, run: () => void): () => void
}

export interface DialerDeps {
  readonly node: MeshNode
  readonly admission: Pick<Admission, 'verdict'>
  readonly links: LinkTable
}

export interface DialFailure {
  readonly reason: string
  /** Who is at the other end, if that is why: ourselves, or a peer that there is a link to already. */
  readonly there?: PeerId
}

/** From an address to a link, or to the reason why there is none. */
export class Dialer {
  readonly #config: DialerConfig
  readonly #node: MeshNode
  readonly #admission: Pick<Admission, 'verdict'>
  readonly #links: LinkTable

  constructor(config: DialerConfig, deps: DialerDeps) {
    this.#config = config
    this.#node = deps.node
    this.#admission = deps.admission
    this.#links = deps.links
  }

  /** Undefined: a link to whoever is there has come up since. Never rejects. */
  async dial(target: DialTarget): Promise<DialFailure | undefined> {
    try {
      return await this.#dial(target)
    } catch (error) {
      return { reason: dialReasonOf(error), ...(isDialToSelf(error) && { there: this.#config.self }) }
    }
  }

  async #dial(target: DialTarget): Promise<DialFailure | undefined> {
    const { self } = this.#config
    if (target.type === 'member' && target.peer === self) return { reason: 'that is ourselves', there: self }
    const newestAtStart = this.#links.newestLinkId
    const addresses = await addressesOf(target)
    // `force`: a connection that is there but carries no link proves nothing.
    const signal = AbortSignal.timeout(networkLimits.dialMs)
    const connection = await this.#node.dial(addresses, { signal, force: true })
    const peer = peerOf(connection)
    const link = this.#links.linkIdOf(peer)
    if (link === undefined) return this.#newLink(connection)
    return link <= newestAtStart ? { reason: `there is a link to ${peer} already`, there: peer } : undefined
  }

  async #newLink(connection: Connection): Promise<DialFailure | undefined> {
    const reason = await Promise.race([this.#linkOver(connection), this.#refusal(connection)])
    return reason === undefined ? undefined : { reason }
  }

  /** Waits until there is a link to that peer, over whatever connection, or this one has closed. */
  async #linkOver(connection: Connection): Promise<string | undefined> {
    const { promise, resolve } = Promise.withResolvers<string | undefined>()
    const undo = this.#links.onLinked(peerOf(connection), () => resolve(undefined))
    const onClose = (): void => resolve('the connection closed before its streams were open')
    connection.addEventListener('close', onClose)
    if (connection.status !== 'open') onClose()
    return promise.finally(undo)
  }

  /** Settles only if the other side, or this one, does not admit the other. */
  async #refusal(connection: Connection): Promise<string> {
    return (await this.#admission.verdict(connection)) ?? new Promise<never>(() => undefined)
  }
}
