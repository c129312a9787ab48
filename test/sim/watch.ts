import type { ErrorCode } from '#protocol/errors'
import type { Epoch, PeerId } from '#protocol/ids'
import type { TopicName } from '#protocol/topic-name'
import { type ControlMessage, decodeControl } from '#protocol/wire/control-frame'
import type { WireFault } from '#protocol/wire/fault'
import { AckHonestyChecker, type Sight, Tellings } from './checkers/ack-honesty.ts'
import { checkRefusal } from './checkers/availability.ts'
import { BoundsChecker } from './checkers/bounds.ts'
import { CaughtUpChecker } from './checkers/caught-up.ts'
import { ClockChecker } from './checkers/clocks.ts'
import { DedupeChecker } from './checkers/dedupe.ts'
import { DecommissionChecker } from './checkers/decommission.ts'
import { FullDiskChecker } from './checkers/full-disk.ts'
import { MembershipChecker } from './checkers/membership.ts'
import { SidesChecker } from './checkers/sides.ts'
import { checkSkips } from './checkers/skips.ts'
import { checkViews } from './checkers/views.ts'
import { FloorChecker } from './checkers/floors.ts'
import { checkLetGo, ConfirmationChecker } from './checkers/handoff.ts'
import type { PublishAck } from '#gateway/broker'
import { Written } from './checkers/written.ts'
import type { FeedKey } from '#protocol/log/feed'
import type { BatchToStore, StoreChange } from '#storage/feed-store'
import type { Question } from './askers.ts'
import type { Anomaly, Disks } from './checkers/anomaly.ts'
import type { HomeOf } from './checkers/convergence.ts'
import type { Describer } from './describe.ts'
import type { Answer, Place, Publish, Reading } from './history.ts'
import type { SimHomes } from './homes.ts'
import type { End, WireTap } from './link.ts'
import { statusAt } from './operators.ts'
import type { SimPeer } from './sim-peer.ts'
import { seedsOf } from './swarm.ts'
import type { SimOptions } from './swarm.ts'
import type { Trace } from './trace.ts'

/** A run stops at its first anomalies; more would only repeat them. */
const anomaliesMax = 10

/** Looks on while a world runs: writes the trace, and holds what happens against what may happen. */
export class Watch implements WireTap {
  readonly anomalies: Anomaly[] = []
  readonly #trace: Trace
  readonly #disks: Disks
  readonly #homes: SimHomes
  readonly #confirmations: ConfirmationChecker
  readonly #describer: Describer
  readonly #bounds = new BoundsChecker()
  readonly #tellings: Tellings
  /** Frames under way, read once. */
  readonly #messages = new WeakMap<Uint8Array, ControlMessage | WireFault>()
  readonly #honesty: AckHonestyChecker
  readonly #membership: MembershipChecker
  readonly #clocks = new ClockChecker()
  readonly #dedupe: DedupeChecker
  readonly #fullDisk = new FullDiskChecker()
  readonly #decommission = new DecommissionChecker()
  readonly sides: SidesChecker
  readonly #caughtUp: CaughtUpChecker | undefined
  readonly #pauses: boolean
  readonly written = new Written()
  readonly floors: FloorChecker

  constructor(world: {
    readonly trace: Trace
    readonly describer: Describer
    readonly disks: Disks
    readonly homes: SimHomes
    readonly options: SimOptions
    readonly isCut: (from: PeerId, to: PeerId) => boolean
  }) {
    this.#trace = world.trace
    this.#disks = world.disks
    this.#homes = world.homes
    this.#describer = world.describer
    this.#tellings = new Tellings(world.disks)
    const { pauses, silence, joiners } = expectationsOf(world.options)
    this.#honesty = new AckHonestyChecker(this.#tellings, joiners)
    this.#membership = new MembershipChecker({ pauses })
    this.sides = new SidesChecker(world.options, world.isCut)
    this.#dedupe = new DedupeChecker(world.disks, this.written)
    this.#pauses = pauses
    const { written } = this
    const { topics } = world.homes
    const { store, faults } = world.options
    const writeMsMax = 2 * store.fsyncMsMax + (faults.slowDisks?.forMsMax ?? 0)
    const slackMs = 600 + writeMsMax
    this.#confirmations = new ConfirmationChecker(writeMsMax)
    this.floors = new FloorChecker({
      written,
      topics,
      latestMs: (peer) => latestOfMost(world.homes.peers, peer),
      slackMs,
    })
    this.#caughtUp = pauses || silence ? undefined : new CaughtUpChecker(world.disks)
  }

  /** Now and then, between events. */
  look(peers: readonly SimPeer[], nowMs: number): void {
    this.blame(this.#membership.look(peers, nowMs))
    this.blame(checkViews(peers, this.#tellings))
    this.blame(this.sides.look(peers, nowMs))
    this.#caughtUp?.look(nowMs)
  }

  caughtUp(reading: Reading, at: SimPeer, nowMs: number): void {
    const { peer } = at.driver ?? {}
    // Who is forgotten is told nothing.
    if (peer === undefined || statusAt(at, at.id) === 'forgotten') return
    const { keepers } = peer.replication.homes.of(peer.topicIdOf(reading.topic as TopicName))
    this.blame(this.#caughtUp?.check(reading, at.id, keepers, nowMs) ?? [])
  }

  diskChanged({ machine }: SimPeer, full: boolean, batchesUnderWay: number): void {
    this.#fullDisk.changed(machine, full, batchesUnderWay)
  }

  handedOver(peer: SimPeer): void {
    const homeOf: HomeOf = (topicId) => this.#homes.seenBy(peer.id, topicId)
    this.blame(this.#decommission.handedOver(peer, { disks: this.#disks, homeOf, written: this.written }))
  }

  published(publish: Publish, boot: Epoch): void {
    const at = this.#homes.peers.find(({ id }) => id === publish.at)
    this.#decommission.published(publish, at !== undefined && (statusAt(at, at.id) ?? 'member') !== 'member')
    this.#fullDisk.published(publish)
    this.#dedupe.published(publish, boot)
  }

  answered(publish: Publish, answer: Answer, sight: Sight): void {
    this.blame(this.#honesty.check(publish, answer, sight))
    this.blame(this.#dedupe.answered(publish, answer))
    this.blame(this.#fullDisk.answered(publish))
    this.blame(this.#decommission.answered(publish))
  }

  told(question: Question, ack: PublishAck, sight: Sight): void {
    this.blame(this.#honesty.told(question, ack, sight))
  }

  /** `keeps`: does the peer say that it keeps the record there? */
  refused(publish: Publish, code: ErrorCode, keeps: (place: Place) => boolean): void {
    this.blame(checkRefusal(publish, code))
    this.blame(this.#dedupe.refused(publish, code, keeps))
    this.blame(this.#fullDisk.refused(publish, code))
    this.blame(this.#decommission.refused(publish, code))
  }

  appended(
    peer: SimPeer,
    { batches, changes }: { readonly batches: readonly BatchToStore[]; readonly changes: readonly StoreChange[] },
    nowMs: number,
  ): void {
    this.written.appended(batches, changes, nowMs)
    this.blame(this.floors.appended(peer, changes, nowMs))
    this.blame(this.#fullDisk.appended(peer.machine, batches, changes))
    // A clone goes on from the ceiling of another machine.
    if (peer.machine !== peer.id) return
    this.blame(this.#clocks.appended(peer, batches))
    const registered = peer.driver?.peer.membership.registryView().peers ?? []
    if (!this.#pauses) {
      const keptFrom = (id: PeerId, key: FeedKey): number => {
        const holder = this.#homes.peers.find((one) => one.id === id)?.driver?.peer.replication.local.get(key)
        return holder?.keptFrom ?? 0
      }
      this.blame(checkSkips(peer, changes, { disks: this.#disks, registered, keptFrom, nowMs: this.#trace.nowMs }))
    }
    const homeOf: HomeOf = (topicId) => this.#homes.seenBy(peer.id, topicId)
    const homeAsked = (feed: FeedKey) => this.#confirmations.homeAsked(peer.id, feed, nowMs)
    this.blame(checkLetGo(peer, changes, { disks: this.#disks, homeOf, homeAsked, written: this.written }))
  }

  /** What the slowest clock shows. */
  slowestMs(): number {
    return Math.min(...this.#homes.peers.map(({ wallClock }) => wallClock.nowMs()))
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

  controlSent(from: End, to: PeerId, frame: Uint8Array): void {
    const message = this.#decoded(frame)
    this.#tellings.controlSent(from, to, message)
    const { peer, machine } = from.host
    if (machine !== peer) return
    const sender = { id: peer, disk: this.#disks.get(peer) }
    this.blame(this.#confirmations.sent(sender, to, message, (topicId) => this.#homes.seenBy(peer, topicId)))
  }

  #decoded(frame: Uint8Array): ControlMessage | WireFault {
    const message = this.#messages.get(frame) ?? decodeControl(frame)
    this.#messages.set(frame, message)
    return message
  }

  dataSent(from: End, frame: Uint8Array): void {
    this.blame(this.#bounds.dataSent(from, frame))
  }

  controlHeard(at: End, from: PeerId, frame: Uint8Array, sentAtMs: number): void {
    const message = this.#decoded(frame)
    this.#trace.line(at.host.machine, `< ${from}`, this.#describer.control(message))
    this.blame(this.#bounds.controlHeard(at, message))
    this.#tellings.controlHeard(at, from, message, sentAtMs)
    const { peer } = at.host
    const homeOf: HomeOf = (topicId) => this.#homes.seenBy(peer, topicId)
    this.#confirmations.heard({ peer, nowMs: this.#trace.nowMs, homeOf }, from, message)
  }

  dataHeard(at: End, from: PeerId, frame: Uint8Array): void {
    this.#trace.line(at.host.machine, `< ${from}`, this.#describer.data(frame))
  }

  dialFailed(at: PeerId, address: string, reason: string): void {
    this.#trace.line(at, 'dial', `${address} failed: ${reason}`)
  }

  linkUp(at: End, peer: PeerId): void {
    this.#honesty.linkUp(at.host.peer)
    this.#trace.line(at.host.machine, 'link up', peer)
  }

  linkDown(at: End, peer: PeerId, reason: string): void {
    this.#trace.line(at.host.machine, 'link down', `${peer}: ${reason}`)
  }
}

/** The latest time that the clocks show, or once showed, of more than half of the members that the peer knows of. */
function latestOfMost(peers: readonly SimPeer[], at: SimPeer): number {
  const members = at.driver?.peer.membership.registryView().peers ?? []
  const clocks = peers.filter(({ id }) => members.includes(id)).map(({ wallClock }) => wallClock.believedMsMax)
  return clocks.toSorted((a, b) => b - a)[Math.floor(members.length / 2)] ?? Number.POSITIVE_INFINITY
}

/** What may be expected of a world, given what happens in it. */
function expectationsOf(options: SimOptions) {
  const { pauses, partitions, clogs, slowDisks, clones } = options.faults
  const isSlow = options.network.slowPaths > 0 || clogs !== undefined || slowDisks !== undefined
  return {
    /** Peers may stall, so nothing can be said about how soon they notice something. */
    pauses: pauses !== undefined,
    /** Peers may be cut off or slow to be heard, so nothing can be said about how soon they hear something. */
    silence: partitions !== undefined || clones !== undefined || isSlow,
    /** Peers that are told whom to join by. */
    joiners: options.peers.filter((id, index) => seedsOf(options, index).some((seed) => seed !== id)),
  }
}
