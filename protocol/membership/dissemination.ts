import type { PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import type { MemberUpdate } from './messages.ts'

/** How often each member sends a rumor on (memberlist's formula). It steps at powers of ten, see the README. */
export function retransmitLimit(options: { readonly retransmitMult: number; readonly members: number }): number {
  return options.retransmitMult * Math.ceil(Math.log10(options.members + 1))
}

/** Messages of an interval, beside those of gossip, that carry updates. */
const ridesMax = 1

interface Rumor {
  sends: number
  /** Not everybody has its facts. */
  readonly facts: boolean
  readonly isSuspicion: boolean
  /** Rumors of equal sends go newest first. */
  readonly order: number
}

interface DisseminationDeps {
  readonly describe: (peer: PeerId, options: { readonly facts: boolean }) => MemberUpdate | undefined
  readonly sendsMax: () => number
}

/**
 * Which members there is news about. A rumor is put into words only when it is sent, from what we believe then, so a
 * newer belief replaces an older one in the queue by itself.
 */
export class Dissemination {
  readonly #rumors = new Map<PeerId, Rumor>()
  readonly #describe: DisseminationDeps['describe']
  readonly #sendsMax: () => number
  #order = 0
  #ridesLeft = ridesMax

  constructor(deps: DisseminationDeps) {
    this.#describe = deps.describe
    this.#sendsMax = deps.sendsMax
  }

  get isEmpty(): boolean {
    return this.#rumors.size === 0
  }

  /** Is there news about it that is not told yet? */
  has(peer: PeerId): boolean {
    return this.#rumors.has(peer)
  }

  /** There is news about `peer`: it is told anew, as often as any news. */
  spread(peer: PeerId, { facts = false, isSuspicion = false } = {}): void {
    const known = this.#rumors.get(peer)
    const order = ++this.#order
    this.#rumors.set(peer, { sends: 0, facts: facts || known?.facts === true, isSuspicion, order })
  }

  /** A gossip interval begins. */
  nextInterval(): void {
    this.#ridesLeft = ridesMax
  }

  /** The updates to ride on a message that is sent for another reason. Only so many in an interval: probes are many when much goes wrong. */
  ride(): MemberUpdate[] {
    if (this.isEmpty || this.#ridesLeft === 0) return []
    this.#ridesLeft--
    return this.take()
  }

  /** The updates to go with one message that is sent now: those told least often first, as many as there is room for. */
  take(): MemberUpdate[] {
    if (this.#rumors.size === 0) return []
    const sendsMax = this.#sendsMax()
    const queue = firstOf(this.#rumors, limits.updatesPerMessageMax)
    const updates: MemberUpdate[] = []
    let length = 0
    for (const [peer, rumor] of queue) {
      const update = this.#describe(peer, rumor)
      if (update !== undefined) {
        length += lengthOf(update)
        if (length > limits.updatesLengthPerMessageMax && updates.length > 0) break
        updates.push(update)
      }
      rumor.sends += 1
      if (rumor.sends >= sendsMax) this.#rumors.delete(peer)
    }
    return updates
  }

  snapshot(): readonly { readonly peer: PeerId; readonly sendsLeft: number }[] {
    const sendsMax = this.#sendsMax()
    return [...this.#rumors].map(([peer, { sends }]) => ({ peer, sendsLeft: Math.max(0, sendsMax - sends) }))
  }
}

/** Those told least often, and of equals the newest; at a price that hardly depends on how many wait. */
function firstOf(rumors: ReadonlyMap<PeerId, Rumor>, count: number): readonly (readonly [PeerId, Rumor])[] {
  const first: (readonly [PeerId, Rumor])[] = []
  for (const entry of rumors) {
    const last = first[count - 1]
    if (last !== undefined && !goesBefore(entry[1], last[1])) continue
    let at = first.length
    while (at > 0 && goesBefore(entry[1], (first[at - 1] as readonly [PeerId, Rumor])[1])) at--
    first.splice(at, 0, entry)
    if (first.length > count) first.pop()
  }
  return first
}

/**
 * Where there is more to tell than there is room for, a suspicion waits until what answers one has been told a few times:
 * whoever hears of the one and misses the other calls somebody dead who lives.
 */
const suspicionsWaitFor = 3

const toldOf = ({ sends, isSuspicion }: Rumor): number => sends + (isSuspicion ? suspicionsWaitFor : 0)

const goesBefore = (a: Rumor, b: Rumor): boolean =>
  toldOf(a) < toldOf(b) || (toldOf(a) === toldOf(b) && a.order > b.order)

/** The first of these updates, as many as one message has room for. */
export function fitting(updates: readonly MemberUpdate[]): MemberUpdate[] {
  let length = 0
  const end = updates.findIndex((update, i) => {
    length += lengthOf(update)
    return i === limits.updatesPerMessageMax || (length > limits.updatesLengthPerMessageMax && i > 0)
  })
  return updates.slice(0, end < 0 ? updates.length : end)
}

/** About what an update takes on the wire, names of fields and numbers included. */
function lengthOf({ peer, by, reason, confirmedBy = [], facts, status }: MemberUpdate): number {
  const texts = [
    peer,
    by,
    reason,
    ...confirmedBy,
    ...(facts ? [facts.name, facts.http, facts.zone, ...facts.addresses] : []),
  ]
  const syntax = 72 + 3 * confirmedBy.length + (facts ? 64 + 3 * facts.addresses.length : 0) + (status ? 44 : 0)
  return texts.reduce((sum, text) => sum + text.length, syntax)
}
