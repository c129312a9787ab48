import { parseAckLevel } from '#protocol/ack-level'
import { MeshError } from '#protocol/errors'
import { feedKeyOf } from '#protocol/log/feed'
import { encodeRecords } from '#protocol/log/record'
import { utf8 } from '#protocol/text'
import type { PublishAnswer } from '#node/driver'
import type { AckLevel } from '#protocol/ack-level'
import type { TopicName } from '#protocol/topic-name'
import type { Dice } from './dice.ts'
import { placeText } from './history.ts'
import type { Answer, History, Publish } from './history.ts'
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
  /** Called at the moment of each answer, when the disks are as they were when it was given. */
  readonly onAnswer: (publish: Publish, answer: Answer) => void
}

interface Request {
  readonly topic: string
  readonly level: AckLevel
  readonly waitMs: number
  readonly values: readonly string[]
  readonly paddingBytes: number
}

/** Clients that publish at random peers. Every value is unique, so that each can be found again. */
export class Publishers {
  readonly #deps: WorkloadDeps
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
    this.#publish(at, { ...request, values: [this.#newValue()], paddingBytes: 1 })
  }

  #publishOne(): void {
    const { dice, options, peers } = this.#deps
    const at = dice.pick(peers)
    const topic = dice.pick(options.topics)
    const level = parseAckLevel(dice.pick(options.levels)) as AckLevel
    const waitMs = dice.between(1, options.waitMsMax)
    const values = Array.from({ length: dice.whole(1, options.recordsMax) }, () => this.#newValue())
    const paddingBytes = dice.magnitude(1, options.valueBytesMax)
    if (dice.chance(0.03)) this.#create(at, topic)
    else this.#publish(at, { topic, level, waitMs, values, paddingBytes })
  }

  #publish(at: SimPeer, { topic, level, waitMs, values, paddingBytes }: Request): void {
    const { history, trace, scheduler } = this.#deps
    const { driver } = at
    if (driver === undefined) return
    const publish: Publish = {
      at: at.id,
      topic,
      values,
      level,
      invokedAtMs: scheduler.nowMs,
      outcome: { type: 'unknown' },
    }
    history.publishes.push(publish)
    trace.line(at.id, 'publish', `${topic} ${values.join(' ')}`)
    const padding = 'x'.repeat(paddingBytes)
    const records = encodeRecords(values.map((value) => ({ value: utf8(`${value} ${padding}`), headers: {} })))
    at.do(() => {
      driver.publish(topic as TopicName, [records], level, waitMs).then(
        ([answer]) => answer && this.#answered(publish, answer),
        (error: unknown) => this.#refused(publish, error),
      )
    })
  }

  #create(at: SimPeer, topic: string): void {
    const { driver } = at
    at.do(() => {
      driver?.createTopic(topic as TopicName).then(
        ({ created }) => this.#deps.trace.line(at.id, 'topic', `${topic} ${created ? 'created' : 'known'}`),
        (error: unknown) => this.#deps.trace.line(at.id, 'topic', `${topic}: ${String(error)}`),
      )
    })
  }

  #newValue(): string {
    return `r${++this.#count}`
  }

  #answered(publish: Publish, { placed, settled }: PublishAnswer): void {
    const { trace, scheduler, onAnswer } = this.#deps
    const feed = feedKeyOf(placed.feed)
    const places = Array.from({ length: placed.count }, (_, index) => ({ feed, offset: placed.firstOffset + index }))
    const { reached, peers: copies, home } = settled
    const answer: Answer = { type: 'answered', atMs: scheduler.nowMs, reached, places, copies, home }
    publish.outcome = answer
    const first = places[0] === undefined ? '' : placeText(places[0])
    trace.line(
      publish.at,
      reached ? 'acked' : 'accepted',
      `${publish.values.join(' ')} at ${first}, copies ${copies.join(' ')}`,
    )
    onAnswer(publish, answer)
  }

  #refused(publish: Publish, error: unknown): void {
    if (!(error instanceof MeshError)) throw error
    publish.outcome = { type: 'refused', code: error.code }
    this.#deps.trace.line(publish.at, 'refused', `${publish.values.join(' ')}: ${error.code}`)
  }
}
