import { parseAckLevel } from '#protocol/ack-level'
import { nodeDigests } from '#node/node-digests'
import { anonymousPrincipal } from '#node/scoped-producers'
import { producerIdOf } from '#protocol/log/producer-id'
import { hexOf } from '#protocol/text'
import type { ProducerId } from '#protocol/log/producer-index'
import type { Dice } from './dice.ts'
import type { Outcome } from './history.ts'
import type { Scheduler } from './scheduler.ts'
import type { SimPeer } from './sim-peer.ts'
import type { WorkloadOptions } from './swarm.ts'
import type { Publishers, Request } from './workload.ts'

export interface ProducerClientDeps {
  readonly scheduler: Scheduler
  readonly dice: Dice
  readonly peers: readonly SimPeer[]
  readonly publishers: Publishers
  readonly options: WorkloadOptions
}

/**
 * A client that numbers its records (P6): one request at a time, sent again to the same or another peer until there is an
 * answer, whatever happens to peers and network meanwhile. Once answered a request may turn up again, at any peer, as
 * when a network had kept it. Now and then it begins a new epoch, as when it was started anew.
 */
export class ProducerClient {
  readonly #name: string
  readonly #producer: ProducerId
  readonly #topic: string
  readonly #deps: ProducerClientDeps
  #at: SimPeer
  #epoch = 0
  #nextSeq = 0

  constructor(number: number, deps: ProducerClientDeps) {
    this.#deps = deps
    this.#topic = deps.dice.pick(deps.options.topics)
    this.#name = `p${number}`
    const scope = { principal: anonymousPrincipal, topic: this.#topic, type: 'producer' as const, name: this.#name }
    this.#producer = hexOf(producerIdOf(nodeDigests, scope)) as ProducerId
    this.#at = deps.dice.pick(deps.peers)
  }

  runUntil(endMs: number): void {
    const { scheduler, dice, options } = this.#deps
    scheduler.after(dice.exponential(options.producers.publishEveryMs), () => {
      if (scheduler.nowMs < endMs) this.#send(this.#next(), endMs)
    })
  }

  #next(): Request {
    const { dice, options, publishers } = this.#deps
    if (dice.chance(0.05)) this.#beginEpoch()
    const values = Array.from({ length: dice.whole(1, options.recordsMax) }, () => publishers.newValue())
    const numbered = { name: this.#name, producer: this.#producer, epoch: this.#epoch, firstSeq: this.#nextSeq }
    const level = parseAckLevel(dice.pick(options.levels)) ?? { type: 'local' as const }
    const waitMs = dice.between(1, options.waitMsMax)
    this.#nextSeq += values.length
    return { topic: this.#topic, level, waitMs, values, paddingBytes: dice.magnitude(1, 200), numbered }
  }

  #send(request: Request, endMs: number): void {
    const { scheduler, dice, publishers, options } = this.#deps
    let isOver = false
    const onEnd = (outcome: Outcome): void => {
      if (isOver) return
      isOver = true
      this.#onEnd(request, outcome, endMs)
      this.runUntil(endMs)
    }
    publishers.publish(this.#at, { ...request, onEnd })
    scheduler.after(dice.between(1, options.producers.patienceMsMax), () => {
      if (isOver || scheduler.nowMs >= endMs) return
      isOver = true
      if (dice.chance(0.5)) this.#at = dice.pick(this.#deps.peers)
      this.#send(request, endMs)
    })
  }

  #onEnd(request: Request, outcome: Outcome, endMs: number): void {
    const { scheduler, dice, peers, publishers, options } = this.#deps
    // What was refused was not stored, so numbers are missing now.
    if (outcome.type === 'refused') return this.#beginEpoch()
    if (!dice.chance(options.producers.echoes)) return
    const again = dice.pick(peers)
    scheduler.after(dice.magnitude(1, 20_000), () => {
      if (scheduler.nowMs < endMs) publishers.publish(again, request)
    })
  }

  #beginEpoch(): void {
    this.#epoch++
    this.#nextSeq = 0
  }
}
