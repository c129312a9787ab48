import type { PeerId } from '#protocol/ids'
import type { ReplicationEffect } from './inputs.ts'
import type { ReplicationMessage } from './messages.ts'

/** Collects the effects of one input, in order. The parts of the machine share it. */
export class Outbox {
  #effects: ReplicationEffect[] = []

  order(effect: ReplicationEffect): void {
    this.#effects.push(effect)
  }

  send(to: PeerId, message: ReplicationMessage): void {
    this.#effects.push({ type: 'send', to, message })
  }

  take(): readonly ReplicationEffect[] {
    const effects = this.#effects
    this.#effects = []
    return effects
  }
}

/** Nothing is lost by them, but somebody should look. */
export class Anomalies {
  /** Frames that do not continue what we have. */
  unfitFrames = 0
  /** Answers to reads that do not go on from where was asked, or not to the head that was told. */
  unfitAnswers = 0
  /** Topics that a neighbor follows beyond `limits.followedTopicsMax`. */
  followsRefused = 0
  /** Neighbors that say to hold another history of a feed of ours. */
  foreignChains = 0
  creditOverruns = 0
  /** Feeds of this boot of ours, sent by somebody else. */
  forgedFeeds = 0
  /** Feeds beyond `limits.feedsMax`. */
  feedsRefused = 0
}
