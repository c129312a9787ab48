import { type AckLevel, ackLevelText, parseAckLevel } from '#protocol/ack-level'
import { MeshError } from '#protocol/errors'
import { parseFeedKey } from '#protocol/log/feed'
import type { PublishAck } from '#gateway/broker'
import type { TopicName } from '#protocol/topic-name'
import type { Dice } from './dice.ts'
import { type History, type Place, placeText } from './history.ts'
import type { Scheduler } from './scheduler.ts'
import type { SimPeer } from './sim-peer.ts'
import type { WorkloadOptions } from './swarm.ts'
import type { Trace } from './trace.ts'

/** Whether a record has the copies of a level, at whatever peer. */
export interface Question {
  readonly at: SimPeer
  readonly place: Place
  readonly level: AckLevel
}

export interface AskersDeps {
  readonly scheduler: Scheduler
  readonly dice: Dice
  readonly peers: readonly SimPeer[]
  readonly history: History
  readonly trace: Trace
  readonly options: WorkloadOptions
  /** Called at the moment of each answer. */
  readonly onAnswer: (question: Question, ack: PublishAck) => void
}

/** Clients that ask for copies of records that somebody has published, and was answered. */
export class Askers {
  readonly #deps: AskersDeps

  constructor(deps: AskersDeps) {
    this.#deps = deps
  }

  runUntil(endMs: number): void {
    const { scheduler, dice, options } = this.#deps
    if (options.askEveryMs === undefined) return
    scheduler.after(dice.exponential(options.askEveryMs), () => {
      if (scheduler.nowMs >= endMs) return
      this.#askOne()
      this.runUntil(endMs)
    })
  }

  #askOne(): void {
    const { dice, history, peers, options } = this.#deps
    const answered = history.answered()
    if (answered.length === 0) return
    const { topic, outcome } = dice.pick(answered)
    const place = dice.pick(outcome.places)
    const level = parseAckLevel(dice.pick(options.levels)) as AckLevel
    const waitMs = dice.between(1, options.waitMsMax)
    this.#ask({ at: dice.pick(peers), place, level }, topic as TopicName, waitMs)
  }

  #ask(question: Question, topic: TopicName, waitMs: number): void {
    const { at, place, level } = question
    const { onAnswer, trace } = this.#deps
    const { publisher } = at
    const feed = parseFeedKey(place.feed)
    if (publisher === undefined || feed === undefined) return
    const what = `${ackLevelText(level)} of ${placeText(place)}`
    at.do(() => {
      const asked = publisher.awaitCopies(topic, { ...feed, offset: place.offset }, level, waitMs)
      void asked.then(
        (ack) => {
          trace.line(at.machine, 'told', `${what}: ${ack?.reached} by ${ack?.peers.join(' ')}`)
          if (ack !== undefined) onAnswer(question, ack)
        },
        (error: unknown) => {
          if (!(error instanceof MeshError)) throw error
          trace.line(at.machine, 'refused', `${what}: ${error.code}`)
        },
      )
    })
  }
}
