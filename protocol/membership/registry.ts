import type { PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import type { MemberFacts } from './messages.ts'

/** Who belongs to the mesh, alive or not (DESIGN §6). Joining adds an entry, and in this version nothing removes one. */
export interface RegistryEntry {
  readonly peer: PeerId
  readonly facts: MemberFacts
  /** Every address ever learned, newest first; at most `limits.memberAddressesMax`. Known to us alone, never gossiped. */
  readonly addresses: readonly string[]
  /** `joining`: ourselves, until we are merged. A restart before that must not pass for one after it. */
  readonly status: { readonly type: 'joining' | 'member'; readonly generation: number }
}

export type RegistryChange = 'added' | 'updated' | 'none' | 'full'

export class Registry {
  readonly #entries = new Map<PeerId, RegistryEntry>()
  // Asked for after every input, and changed when somebody joins.
  #peers: readonly PeerId[] | undefined
  #version: string | undefined

  constructor(entries: Iterable<RegistryEntry>) {
    for (const entry of entries) this.#entries.set(entry.peer, entry)
  }

  get size(): number {
    return this.#entries.size
  }

  has(peer: PeerId): boolean {
    return this.#entries.has(peer)
  }

  get(peer: PeerId): RegistryEntry | undefined {
    return this.#entries.get(peer)
  }

  /** Its name, or its id while we know no better. */
  nameOf(peer: PeerId): string {
    return this.#entries.get(peer)?.facts.name ?? peer
  }

  entries(): readonly RegistryEntry[] {
    return [...this.#entries.values()]
  }

  /** All ids in ascending order: the same list wherever the registries agree. */
  peers(): readonly PeerId[] {
    this.#peers ??= [...this.#entries.keys()].toSorted()
    return this.#peers
  }

  /** Count and FNV-1a hash of the sorted ids, such as `5-1b2c3d4e`: equal exactly where the same peers belong. */
  get version(): string {
    this.#version ??= `${this.size}-${fnv1a(this.peers().join('\n')).toString(16).padStart(8, '0')}`
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
    return 'updated'
  }

  setStatus(peer: PeerId, type: RegistryEntry['status']['type']): void {
    const known = this.#entries.get(peer)
    if (known !== undefined) this.#entries.set(peer, { ...known, status: { ...known.status, type } })
  }

  #add(peer: PeerId, facts: MemberFacts): RegistryChange {
    if (this.size >= limits.membersMax) return 'full'
    this.#entries.set(peer, { peer, facts, addresses: facts.addresses, status: { type: 'member', generation: 0 } })
    this.#peers = undefined
    this.#version = undefined
    return 'added'
  }
}

/** 32 bits of FNV-1a over ASCII (draft-eastlake-fnv). Tells registries apart; protects nothing. */
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
