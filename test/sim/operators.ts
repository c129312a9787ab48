import { MeshError } from '#protocol/errors'
import type { RegistryEdit } from '#protocol/membership/registry-edit'
import type { PeerId } from '#protocol/ids'
import type { Dice } from './dice.ts'
import type { Scheduler } from './scheduler.ts'
import { missingOn, type SimDisk } from './sim-disk.ts'
import type { SimPeer } from './sim-peer.ts'
import type { OperatorOptions } from './swarm.ts'
import type { Trace } from './trace.ts'

export interface OperatorsDeps {
  readonly scheduler: Scheduler
  readonly dice: Dice
  readonly peers: readonly SimPeer[]
  readonly trace: Trace
  readonly options: OperatorOptions
  /** Disks lose what they hold: then the one that was switched off may be the last to have it. */
  readonly losesDisks: boolean
}

/** So many stay, as far as the peer that is told knows: there is something to look at. */
const membersMin = 2

/** People who decommission, forget and admit peers, at whatever peer, on whatever side, and switch off who is done. */
export class Operators {
  readonly #deps: OperatorsDeps
  /** Why the world may have peers that do not belong in the end. */
  readonly #mayGo: boolean

  constructor(deps: OperatorsDeps) {
    this.#deps = deps
    this.#mayGo = deps.options.retires
  }

  runUntil(endMs: number): void {
    const { scheduler, dice, options, peers } = this.#deps
    scheduler.after(dice.exponential(options.everyMs), () => {
      if (scheduler.nowMs >= endMs) return
      const at = dice.pick(peers)
      const target = dice.pick(peers).id
      const kind = dice.next()
      at.do(() => this.#act(at, target, kind))
      this.runUntil(endMs)
    })
  }

  /** It has handed over, and is forgotten: now it may be switched off for good. */
  handedOver(peer: SimPeer): void {
    const { scheduler, dice, options, losesDisks, peers } = this.#deps
    if (!options.retires || losesDisks || !dice.chance(0.5)) return
    // Others have to hear of it.
    scheduler.after(dice.between(0, 3_000), () => {
      // People give who is new an address that answers.
      if (peer.isStillJoining || peers.some((other) => other.joinsOnlyBy(peer.id))) return
      if (peer.driver?.peer.membership.statusOf(peer.id)?.type === 'forgotten') peer.retire()
    })
  }

  /**
   * When all faults are over: whoever does not belong is admitted, or stays away if the world may end so, and nobody is left
   * to hand over what nobody can. Returns whether there was something to do.
   */
  settle(running: readonly SimPeer[]): void {
    const { peers, dice } = this.#deps
    const at = running.find((peer) => statusAt(peer, peer.id) === 'member') ?? running[0]
    if (at === undefined) return
    let members = peers.filter(({ id }) => statusAt(at, id) === 'member').length
    for (const peer of peers) {
      const status = statusAt(at, peer.id)
      if (peer.isRetired && status !== 'forgotten') this.#edit(at, { type: 'forget', peer: peer.id, force: true })
      if (peer.isRetired || status === undefined || status === 'member') continue
      const stays = this.#mayGo && members >= membersMin && dice.chance(0.5)
      if (!stays) {
        members++
        this.#edit(at, { type: 'admit', peer: peer.id })
      } else if (status === 'leaving' && peers.some(({ disk }) => isDamaged(disk))) {
        // What is damaged everywhere nobody confirms.
        this.#edit(at, { type: 'forget', peer: peer.id, force: true })
      }
    }
  }

  #act(at: SimPeer, target: PeerId, kind: number): void {
    const { dice, options, peers } = this.#deps
    if (peers.some(({ id, isRetired }) => id === target && isRetired)) return
    const view = at.driver?.peer.membership.registryView()
    if (view === undefined) return
    const isGone = view.leaving.includes(target) || view.forgotten.includes(target)
    const isSpare = view.peers.length - view.leaving.length > membersMin
    if (isGone && kind < options.admits) this.#edit(at, { type: 'admit', peer: target })
    else if (!isGone && isSpare && kind < options.forgets) {
      this.#edit(at, { type: 'forget', peer: target, force: dice.chance(0.5) })
    } else if (!isGone && isSpare) this.#edit(at, { type: 'decommission', peer: target })
  }

  #edit(at: SimPeer, edit: RegistryEdit): void {
    const { trace } = this.#deps
    trace.line(at.machine, edit.type, edit.peer)
    at.driver?.editRegistry(edit).catch((error: unknown) => {
      if (!(error instanceof MeshError)) throw error
      trace.line(at.machine, edit.type, `${edit.peer}: ${error.code}`)
    })
  }
}

export const statusAt = ({ driver }: SimPeer, peer: PeerId) => driver?.peer.membership.statusOf(peer)?.type

const isDamaged = (disk: SimDisk): boolean =>
  disk.isDamaged || [...disk.feeds.values()].some((feed) => missingOn(feed).length > 0)
