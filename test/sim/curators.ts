import { MeshError } from '#protocol/errors'
import { exists } from '#protocol/topics/topic-state'
import type { Retention } from '#protocol/topic-config'
import type { TopicName } from '#protocol/topic-name'
import type { Dice } from './dice.ts'
import type { Scheduler } from './scheduler.ts'
import type { SimPeer } from './sim-peer.ts'
import type { RetentionOptions } from './swarm.ts'
import type { Trace } from './trace.ts'

export interface CuratorsDeps {
  readonly scheduler: Scheduler
  readonly dice: Dice
  readonly peers: readonly SimPeer[]
  readonly topics: readonly string[]
  readonly trace: Trace
  readonly options: RetentionOptions
  /** Asked, whether it is taken or not. */
  readonly onAsked: (topic: string, retention: Retention) => void
}

/** Clients that say how long the records of a topic are kept, and change their minds. */
export class Curators {
  readonly #deps: CuratorsDeps

  constructor(deps: CuratorsDeps) {
    this.#deps = deps
  }

  runUntil(endMs: number): void {
    const { scheduler, dice, peers, options } = this.#deps
    scheduler.after(dice.exponential(options.editEveryMs), () => {
      if (scheduler.nowMs >= endMs) return
      const at = dice.pick(peers)
      const topic = dice.pick(this.#deps.topics) as TopicName
      const retention = dice.pick(options.choices)
      at.do(() => this.#edit(at, topic, retention))
      this.runUntil(endMs)
    })
  }

  #edit(at: SimPeer, topic: TopicName, retention: Retention): void {
    const { driver } = at
    if (driver === undefined) return
    const { trace, onAsked } = this.#deps
    onAsked(topic, retention)
    trace.line(at.machine, 'retention', `${topic} ${JSON.stringify(retention)}`)
    const type = exists(driver.peer.topics.get(topic)) ? 'patch' : 'put'
    driver.editTopic(topic, { type, asked: { retention }, version: undefined, atMs: 1 }).catch((error: unknown) => {
      if (!(error instanceof MeshError)) throw error
    })
  }
}
