import type { PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import type { MemberFacts, RegistryStatus } from './messages.ts'

/**
 * Who belongs to the mesh, alive or not (DESIGN §6). Joining adds an entry and nothing removes one: whoever is let go of
 * stays as `forgotten`, so that no old rumor brings it back.
 */
export interface RegistryEntry {
  readonly peer: PeerId
  readonly facts: MemberFacts
  /** Every address ever learned, newest first; at most `limits.memberAddressesMax`. Known to us alone, never gossiped. */
  readonly addresses: readonly string[]
  /** `joining`: ourselves, until we are merged. A restart before that must not pass for one after it. Else a member. */
  readonly status: { readonly type: 'joining' | RegistryStatus['type']; readonly generation: number }
}

export type RegistryChange = 'added' | 'updated' | 'none' | 'full'

export class Registry {
  readonly #entries = new Map<PeerId, RegistryEntry>()
  #belonging = 0
  #revision = 0
  // Asked for after every input, and changed when somebody joins.
  #known: readonly PeerId[] | undefined
  #peers: readonly PeerId[] | undefined
  readonly #ofStatus = new Map<RegistryStatus['type'], readonly PeerId[]>()
  #version: string | undefined
  #named: ReadonlyMap<string | undefined, readonly PeerId[]> | undefined

  constructor(entries: Iterable<RegistryEntry>) {
    for (const entry of entries) this.#set(entry)
  }

  /** Who belongs. */
  get size(): number {
    return this.#belonging
  }

  has(peer: PeerId): boolean {
    return this.#entries.has(peer)
  }

  belongs(peer: PeerId): boolean {
    const status = this.#entries.get(peer)?.status.type
    return status !== undefined && status !== 'forgotten'
  }

  statusOf(peer: PeerId): RegistryStatus | undefined {
    const status = this.#entries.get(peer)?.status
    return status?.type === 'joining' ? { ...status, type: 'member' } : (status as RegistryStatus | undefined)
  }

  get(peer: PeerId): RegistryEntry | undefined {
    return this.#entries.get(peer)
  }

  /** Its name, with the end of its id if others of that name are meant as well; or its id while we know no better. */
  nameOf(peer: PeerId): string {
    const name = this.#entries.get(peer)?.facts.name
    if (name === undefined) return peer
    this.#named ??= Map.groupBy(this.known(), (known) => this.#entries.get(known)?.facts.name)
    const namesakes = this.#named.get(name) ?? []
    // Who took the place of a peer that is forgotten has its name to itself.
    const isShared = namesakes.some((other) => other !== peer && (this.belongs(other) || !this.belongs(peer)))
    return isShared ? `${name}~${peer.slice(-6)}` : name
  }

  entries(): readonly RegistryEntry[] {
    return [...this.#entries.values()]
  }

  /** Rises with every change of an entry. */
  get revision(): number {
    return this.#revision
  }

  /** All that were ever heard of, the forgotten among them, in ascending order. */
  known(): readonly PeerId[] {
    this.#known ??= [...this.#entries.keys()].toSorted()
    return this.#known
  }

  /** Who belongs, in ascending order: the same list wherever the registries agree. */
  peers(): readonly PeerId[] {
    this.#peers ??= this.known().filter((peer) => this.belongs(peer))
    return this.#peers
  }

  ofStatus(type: RegistryStatus['type']): readonly PeerId[] {
    const found = this.#ofStatus.get(type) ?? this.known().filter((peer) => this.statusOf(peer)?.type === type)
    this.#ofStatus.set(type, found)
    return found
  }

  /**
   * Count and FNV-1a hash of the sorted ids with their zones, such as `5-1b2c3d4e`: equal exactly where the same peers
   * belong, stand at the same places and leave, so that topics have the same homes.
   */
  get version(): string {
    this.#version ??= `${this.size}-${fnv1a(this.#placesText()).toString(16).padStart(8, '0')}`
    return this.#version
  }

  /**
   * Facts are written by their subject under its own counter, so the higher counter is the later word. Who says the same
   * again is remembered to have said so, but that is no change: nobody needs to be told, and it need not be persisted.
   */
  merge(peer: PeerId, facts: MemberFacts): RegistryChange {
    const known = this.#entries.get(peer)
    if (known === undefined) return this.#add(peer, facts)
    if (facts.counter <= known.facts.counter) return 'none'
    if (sameFacts(facts, known.facts)) {
      this.#entries.set(peer, { ...known, facts })
      return 'none'
    }
    const addresses = [...new Set([...facts.addresses, ...known.addresses])].slice(0, limits.memberAddressesMax)
    this.#entries.set(peer, { ...known, facts, addresses })
    this.#changed()
    return 'updated'
  }

  /** A join: whatever order, number and path of the words, the same status comes of them. True: it is another one now. */
  mergeStatus(peer: PeerId, status: RegistryStatus): boolean {
    const known = this.#entries.get(peer)
    if (known === undefined || !isLaterStatus(status, known.status)) return false
    this.#set({ ...known, status })
    this.#changed()
    return true
  }

  /** Of a member: whether it knows its mesh. */
  setJoining(peer: PeerId, joining: boolean): void {
    const known = this.#entries.get(peer)
    if (known === undefined || rank[known.status.type] > rank.member) return
    this.#entries.set(peer, { ...known, status: { ...known.status, type: joining ? 'joining' : 'member' } })
  }

  #add(peer: PeerId, facts: MemberFacts): RegistryChange {
    if (this.#entries.size >= limits.membersMax) return 'full'
    this.#set({ peer, facts, addresses: facts.addresses, status: { type: 'member', generation: 0 } })
    this.#known = undefined
    this.#changed()
    return 'added'
  }

  #set(entry: RegistryEntry): void {
    if (this.belongs(entry.peer)) this.#belonging--
    this.#entries.set(entry.peer, entry)
    if (this.belongs(entry.peer)) this.#belonging++
  }

  #changed(): void {
    this.#revision++
    this.#peers = undefined
    this.#ofStatus.clear()
    this.#named = undefined
    this.#version = undefined
  }

  #placesText(): string {
    return this.peers()
      .map((peer) => {
        const { facts, status } = this.#entries.get(peer) ?? {}
        return `${peer} ${facts?.zone ?? ''}${status?.type === 'leaving' ? ' leaving' : ''}`
      })
      .join('\n')
  }
}

const rank: Readonly<Record<RegistryEntry['status']['type'], number>> = {
  joining: 0,
  member: 0,
  leaving: 1,
  forgotten: 2,
}

/** Of two words about whether a peer belongs, is `a` the later one? */
const isLaterStatus = (a: RegistryEntry['status'], b: RegistryEntry['status']): boolean =>
  a.generation === b.generation ? rank[a.type] > rank[b.type] : a.generation > b.generation

/** 32 bits of FNV-1a over UTF-16 code units (draft-eastlake-fnv). Tells registries apart; protects nothing. */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash >>> 0
}

/** The same facts, whatever their counter. */
export function sameFacts(a: MemberFacts, b: MemberFacts): boolean {
  return (
    a.name === b.name &&
    a.http === b.http &&
    a.zone === b.zone &&
    a.addresses.length === b.addresses.length &&
    a.addresses.every((address, index) => address === b.addresses[index])
  )
}
