import { decodeRegistry } from '#node/registry-codec'
import type { PeerId } from '#protocol/ids'
import type { MemberView } from '#protocol/views'
import type { SimPeer } from '../sim-peer.ts'
import type { Anomaly } from './anomaly.ts'

/** Silence is noticed by probes and confirmed by suspicion: 1 s + 4 s with the LAN profile, and slack for lost rounds. */
const detectionMsMax = 30_000

const blame = (detail: string): Anomaly => ({ checker: 'membership', detail })

/** What a peer was last seen to know, in memory and on disk. */
interface Known {
  readonly run: object
  readonly members: ReadonlySet<PeerId>
  readonly persisted: readonly PeerId[]
}

/**
 * The registry is never smaller than it was (no cluster amnesia), except by damage to the disk that held it; what is
 * known of a member is never older than it was; and a peer that is gone is believed to be by everybody who was there
 * long enough to notice. Looked at now and then.
 */
export class MembershipChecker {
  readonly #known = new Map<PeerId, Known>()
  readonly #down = new Map<PeerId, { readonly sinceMs: number; readonly boots: number }>()
  /** Of each run, by driver: the highest incarnation that it knew of each member. */
  readonly #incarnations = new WeakMap<object, Map<string, number>>()
  readonly #pauses: boolean

  /** With pauses, how long detection takes has no bound: a late timer tells a peer to mistrust itself. */
  constructor(run: { readonly pauses: boolean }) {
    this.#pauses = run.pauses
  }

  look(peers: readonly SimPeer[], nowMs: number): readonly Anomaly[] {
    for (const peer of peers) {
      const { id, boots } = peer
      if (!peer.isDown || peer.twin?.isDown === false) this.#down.delete(id)
      // It may have been there for a moment since the last look. (Seed 4800.)
      else if (this.#down.get(id)?.boots !== boots) this.#down.set(id, { sinceMs: nowMs, boots })
    }
    return peers.flatMap((peer) => [...this.#amnesia(peer), ...this.#relapse(peer), ...this.#blindness(peer, nowMs)])
  }

  /** A run forgets nobody; the next one knows at least whom the disk knew. */
  #amnesia(peer: SimPeer): readonly Anomaly[] {
    if (peer.driver === undefined) return []
    const { peers, forgotten: letGo } = peer.driver.peer.membership.registryView()
    const now = new Set([...peers, ...letGo])
    const before = this.#known.get(peer.id)
    const persisted = persistedOn(peer)
    const expected = before?.run === peer.driver ? before.members : new Set(before?.persisted)
    this.#known.set(peer.id, { run: peer.driver, members: now, persisted })
    const forgotten = [...expected].filter((member) => !now.has(member))
    if (forgotten.length === 0 || peer.disk.isDamaged) return []
    return [blame(`${peer.id} has forgotten ${forgotten.join(', ')}`)]
  }

  /** Incarnations only rise: a lower one is an old rumor that was believed (SWIM 4.2). */
  #relapse(peer: SimPeer): readonly Anomaly[] {
    if (peer.driver === undefined) return []
    const known = this.#incarnations.get(peer.driver) ?? new Map<string, number>()
    this.#incarnations.set(peer.driver, known)
    return membersOf(peer).flatMap(({ id, incarnation }) => {
      const before = known.get(id) ?? 0
      known.set(id, Math.max(before, incarnation))
      return incarnation >= before
        ? []
        : [blame(`${peer.id} went back from incarnation ${before} of ${id} to ${incarnation}`)]
    })
  }

  #blindness(peer: SimPeer, nowMs: number): readonly Anomaly[] {
    if (this.#pauses || peer.upForMs < detectionMsMax) return []
    return membersOf(peer).flatMap(({ id, state }) => {
      const goneForMs = nowMs - (this.#down.get(id as PeerId)?.sinceMs ?? nowMs)
      const isBlind = goneForMs > detectionMsMax && (state === 'alive' || state === 'suspect')
      return isBlind
        ? [blame(`${peer.id} believes that ${id} is ${state}, ${goneForMs.toFixed(0)} ms after its end`)]
        : []
    })
  }
}

const none: readonly PeerId[] = []
/** A registry is read once, however often it is looked at. */
const read = new WeakMap<Uint8Array, readonly PeerId[]>()

function persistedOn({ disk }: SimPeer): readonly PeerId[] {
  const bytes = disk.meta.get('registry')
  if (bytes === undefined) return none
  const peers = read.get(bytes) ?? decodeRegistry(bytes).map((entry) => entry.peer)
  read.set(bytes, peers)
  return peers
}

/**
 * After the heal everybody who belongs knows everybody, knows that it does, believes everybody to be alive, and says the same of
 * who belongs; nobody is left on its way out.
 */
export function checkAgreement(staying: readonly SimPeer[], all: readonly SimPeer[] = staying): readonly Anomaly[] {
  return [...checkAlive(staying), ...checkStatuses(staying, all)]
}

function checkStatuses(staying: readonly SimPeer[], all: readonly SimPeer[]): readonly Anomaly[] {
  const [first] = staying
  if (first === undefined) return [blame('nobody belongs to the mesh')]
  // Who runs and was forgotten has heard of it.
  const witnesses = all.filter((peer) => staying.includes(peer) || peer.driver !== undefined)
  return all.flatMap(({ id }) => {
    const status = first.driver?.peer.membership.statusOf(id)
    if (status?.type === 'leaving') return [blame(`${id} is still on its way out`)]
    return witnesses.flatMap((peer) => {
      const other = peer.driver?.peer.membership.statusOf(id)
      // Whoever was let go of need not hear of others, and may never have met them.
      const isHeard = staying.includes(peer) || peer.id === id
      if (!isHeard || (other?.type === status?.type && other?.generation === status?.generation)) return []
      return [blame(`${peer.id} says that ${id} is ${other?.type}, ${first.id} that it is ${status?.type}`)]
    })
  })
}

function checkAlive(peers: readonly SimPeer[]): readonly Anomaly[] {
  return peers.flatMap((peer) => {
    if (peer.driver?.peer.membership.registryView().merged !== true) return [blame(`${peer.id} is still joining`)]
    const states = new Map(membersOf(peer).map(({ id, state }) => [id, state]))
    return peers.flatMap(({ id }) => {
      const state = states.get(id) ?? 'unknown'
      return state === 'alive' ? [] : [blame(`${peer.id} believes that ${id} is ${state}, after the heal`)]
    })
  })
}

const membersOf = ({ driver, upForMs }: SimPeer): readonly Pick<MemberView, 'id' | 'state' | 'incarnation'>[] =>
  driver?.peer.membership.snapshot(upForMs).members ?? []
