import type { PeerId } from '#protocol/ids'
import { decodeControl } from '#protocol/wire/control-frame'
import { AckHonestyChecker, Tellings } from './checkers/ack-honesty.ts'
import { BoundsChecker } from './checkers/bounds.ts'
import { MembershipChecker } from './checkers/membership.ts'
import { checkViews } from './checkers/views.ts'
import type { Anomaly, Disks } from './checkers/anomaly.ts'
import type { Describer } from './describe.ts'
import type { Answer, Publish } from './history.ts'
import type { End, WireTap } from './link.ts'
import type { SimPeer } from './sim-peer.ts'
import type { Trace } from './trace.ts'

/** A run stops at its first anomalies; more would only repeat them. */
const anomaliesMax = 10

/** Looks on while a world runs: writes the trace, and holds what happens against what may happen. */
export class Watch implements WireTap {
  readonly anomalies: Anomaly[] = []
  readonly #trace: Trace
  readonly #describer: Describer
  readonly #bounds = new BoundsChecker()
  readonly #tellings: Tellings
  readonly #honesty: AckHonestyChecker
  readonly #membership: MembershipChecker

  constructor(world: {
    readonly trace: Trace
    readonly describer: Describer
    readonly disks: Disks
    /** Peers may stall, so nothing can be said about how soon they notice something. */
    readonly pauses: boolean
  }) {
    this.#trace = world.trace
    this.#describer = world.describer
    this.#tellings = new Tellings(world.disks)
    this.#honesty = new AckHonestyChecker(this.#tellings)
    this.#membership = new MembershipChecker(world)
  }

  /** Now and then, between events. */
  look(peers: readonly SimPeer[], nowMs: number): void {
    this.blame(this.#membership.look(peers, nowMs))
    this.blame(checkViews(peers, this.#tellings))
  }

  answered(publish: Publish, answer: Answer, registered: readonly PeerId[]): void {
    this.blame(this.#honesty.check(publish, answer, registered))
  }

  blame(anomalies: readonly Anomaly[]): void {
    for (const anomaly of anomalies.slice(0, anomaliesMax - this.anomalies.length)) {
      this.#trace.line('*', 'ANOMALY', `${anomaly.checker}: ${anomaly.detail}`)
      this.anomalies.push(anomaly)
    }
  }

  crashed(error: unknown): void {
    this.blame([{ checker: 'crash', detail: error instanceof Error ? (error.stack ?? error.message) : String(error) }])
  }

  dataSent(from: End, frame: Uint8Array): void {
    this.blame(this.#bounds.dataSent(from, frame))
  }

  controlHeard(at: End, from: PeerId, frame: Uint8Array, sentAtMs: number): void {
    const message = decodeControl(frame)
    this.#trace.line(at.host.peer, `< ${from}`, this.#describer.control(message))
    this.blame(this.#bounds.controlHeard(at, message))
    this.#tellings.controlHeard(at, from, message, sentAtMs)
  }

  dataHeard(at: End, from: PeerId, frame: Uint8Array): void {
    this.#trace.line(at.host.peer, `< ${from}`, this.#describer.data(frame))
  }

  dialFailed(at: PeerId, address: string, reason: string): void {
    this.#trace.line(at, 'dial', `${address} failed: ${reason}`)
  }

  linkUp(at: End, peer: PeerId): void {
    this.#trace.line(at.host.peer, 'link up', peer)
  }

  linkDown(at: End, peer: PeerId, reason: string): void {
    this.#trace.line(at.host.peer, 'link down', `${peer}: ${reason}`)
  }
}
