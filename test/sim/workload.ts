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

  #publishOne(): void {
    const { dice, options, peers, history, trace, scheduler } = this.#deps
    const at = dice.pick(peers)
    const topic = dice.pick(options.topics)
    const level = parseAckLevel(dice.pick(options.levels)) as AckLevel
    const waitMs = dice.between(1, options.waitMsMax)
    const values = Array.from({ length: dice.whole(1, options.recordsMax) }, () => `r${++this.#count}`)
    const isCreation = dice.chance(0.03)
    const records = values.map((value) => ({ value: utf8(`${value} ${this.#padding()}`), headers: {} }))
    // The dice are thrown all the same: the workload does not shift when a peer is down.
    if (at.driver === undefined) return
    if (isCreation) return this.#create(at, topic)
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
    const { driver } = at
    at.do(() => {
      driver.publish(topic as TopicName, encodeRecords(records), level, waitMs).then(
        (answer) => this.#answered(publish, answer),
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

  #padding(): string {
    return 'x'.repeat(this.#deps.dice.magnitude(1, this.#deps.options.valueBytesMax))
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
