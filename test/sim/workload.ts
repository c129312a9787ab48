import { parseAckLevel } from '#protocol/ack-level'
import { type ErrorCode, MeshError } from '#protocol/errors'
import { utf8 } from '#protocol/text'
import type { ClientProducer, PublishResult } from '#gateway/broker'
import type { PeerDriver } from '#node/driver'
import type { AckLevel } from '#protocol/ack-level'
import type { Epoch, PeerId, TopicId } from '#protocol/ids'
import type { TopicName } from '#protocol/topic-name'
import { idsOfRuns } from '#protocol/wire/socket-frames'
import type { Dice } from './dice.ts'
import { placeOf, placeText } from './history.ts'
import type { Answer, History, Numbered, Outcome, Publish } from './history.ts'
import type { Scheduler } from './scheduler.ts'
import type { SimPeer } from './sim-peer.ts'
import type { WorkloadOptions } from './swarm.ts'
import type { Trace } from './trace.ts'

export interface WorkloadDeps {
  readonly scheduler: Scheduler
  readonly dice: Dice
  readonly peers: readonly SimPeer[]
  readonly history: History
  readonly trace: Trace
  readonly options: WorkloadOptions
  /** Called when a publish reaches its peer. */
  readonly onPublish: (publish: Publish, boot: Epoch) => void
  /** Called at the moment of each answer, when the disks are as they were when it was given. */
  readonly onAnswer: (publish: Publish, answer: Answer, session: Session) => void
  readonly onRefusal: (publish: Publish, code: ErrorCode) => void
}

/** What a client goes on from after a publish. */
export interface Session {
  readonly at: SimPeer
  readonly topicId: TopicId
  readonly cursor: string
}

export interface Request {
  readonly topic: string
  readonly level: AckLevel
  readonly waitMs: number
  readonly values: readonly string[]
  readonly paddingBytes: number
  readonly numbered?: Numbered
  /** Told of its end, if it comes to one. */
  readonly onEnd?: (outcome: Outcome) => void
}

/** Clients that publish at random peers. Every value is unique, so that each can be found again. */
export class Publishers {
  readonly #deps: WorkloadDeps
  /** Publishes without an answer, and by whom that is owed. */
  readonly #waiting = new Map<Publish, { readonly at: SimPeer; readonly driver: PeerDriver }>()
  #count = 0

  constructor(deps: WorkloadDeps) {
    this.#deps = deps
  }

  runUntil(endMs: number): void {
    const { scheduler, dice, options } = this.#deps
    scheduler.after(dice.exponential(options.publishEveryMs), () => {
      if (scheduler.nowMs >= endMs) return
      this.#publishOne()
      this.runUntil(endMs)
    })
  }

  /** One record at that peer, now. */
  publishAt(at: SimPeer, request: { readonly topic: string; readonly level: AckLevel; readonly waitMs: number }): void {
    this.publish(at, { ...request, values: [this.newValue()], paddingBytes: 1 })
  }

  /** What a process took that still runs, and has not answered. */
  unanswered(): readonly Publish[] {
    return [...this.#waiting].flatMap(([publish, { at, driver }]) => (at.driver === driver ? [publish] : []))
  }

  #publishOne(): void {
    const { dice, options, peers } = this.#deps
    const peer = dice.pick(peers.slice(0, options.writers))
    const at = peer.twin !== undefined && dice.chance(0.5) ? peer.twin : peer
    const topic = dice.pick(options.topics)
    const level = parseAckLevel(dice.pick(options.levels)) as AckLevel
    const waitMs = dice.between(1, options.waitMsMax)
    const values = Array.from({ length: dice.whole(1, options.recordsMax) }, () => this.newValue())
    const paddingBytes = dice.magnitude(1, options.valueBytesMax)
    if (dice.chance(0.03)) this.#create(at, topic)
    else this.publish(at, { topic, level, waitMs, values, paddingBytes })
  }

  /** Nothing happens at a peer that is down. */
  publish(at: SimPeer, request: Request): void {
    const { topic, level, waitMs, values, paddingBytes, numbered, onEnd } = request
    const { history, trace, scheduler, onPublish } = this.#deps
    const { driver, publisher } = at
    if (driver === undefined || publisher === undefined) return
    const publish: Publish = {
      at: at.id,
      machine: at.machine,
      topic,
      values,
      ...(numbered && { numbered }),
      level,
      invokedAtMs: scheduler.nowMs,
      outcome: { type: 'unknown' },
    }
    history.publishes.push(publish)
    this.#waiting.set(publish, { at, driver })
    trace.line(at.machine, 'publish', `${topic} ${values.join(' ')}${numberText(numbered)}`)
    const records = values.map((name) => ({ value: valueOf(name, paddingBytes), headers: {} }))
    const producer = producerOf(numbered)
    at.do(() => {
      onPublish(publish, driver.peer.epoch)
      void publisher
        .publish({ topic: topic as TopicName, records, producer, ack: level, waitMs })
        .then(
          (result) => this.#answered(publish, result, at, driver.peer.topicIdOf(topic as TopicName)),
          (error: unknown) => this.#refused(publish, error),
        )
        .then(() => onEnd?.(publish.outcome))
    })
  }

  #create(at: SimPeer, topic: string): void {
    const { driver } = at
    const { scheduler } = this.#deps
    at.do(() => {
      driver?.editTopic(topic as TopicName, { type: 'put', asked: {}, atMs: Math.floor(scheduler.nowMs) }).then(
        ({ created }) => this.#deps.trace.line(at.id, 'topic', `${topic} ${created ? 'created' : 'known'}`),
        (error: unknown) => this.#deps.trace.line(at.id, 'topic', `${topic}: ${String(error)}`),
      )
    })
  }

  newValue(): string {
    return `r${++this.#count}`
  }

  #answered(publish: Publish, { runs, cursor, ack }: PublishResult, at: SimPeer, topicId: TopicId): void {
    const { trace, scheduler, onAnswer } = this.#deps
    this.#waiting.delete(publish)
    const places = idsOfRuns(runs).map((id) => placeOf(topicId, id))
    // A peer is named as it is identified.
    const [copies, home] = [ack.peers as readonly PeerId[], ack.home as readonly PeerId[]]
    const answer: Answer = { type: 'answered', atMs: scheduler.nowMs, reached: ack.reached, places, copies, home }
    publish.outcome = answer
    const first = places[0] === undefined ? '' : placeText(places[0])
    trace.line(
      publish.machine,
      ack.reached ? 'acked' : 'accepted',
      `${publish.values.join(' ')} at ${first}, copies ${copies.join(' ')}`,
    )
    onAnswer(publish, answer, { at, topicId, cursor })
  }

  #refused(publish: Publish, error: unknown): void {
    if (!(error instanceof MeshError)) throw error
    this.#waiting.delete(publish)
    publish.outcome = { type: 'refused', code: error.code }
    this.#deps.trace.line(publish.machine, 'refused', `${publish.values.join(' ')}: ${error.code}`)
    this.#deps.onRefusal(publish, error.code)
  }
}

const numberText = (numbered: Numbered | undefined): string =>
  numbered === undefined ? '' : ` as ${numbered.name} ${numbered.epoch}/${numbered.firstSeq}`

function producerOf(numbered: Numbered | undefined): ClientProducer | undefined {
  if (numbered === undefined) return undefined
  const { name, epoch, firstSeq } = numbered
  return { type: 'producer', name, epoch, seq: firstSeq }
}

const nameEnd = utf8(' ')
const padding = utf8('x'.repeat(1024 * 1024))

/** The name comes first, so that whoever looks for it need not decode the rest. */
const valueOf = (name: string, paddingBytes: number): Uint8Array =>
  new Uint8Array(Buffer.concat([utf8(name), nameEnd, padding.subarray(0, paddingBytes)]))
