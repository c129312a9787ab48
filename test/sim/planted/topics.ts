import { Remains } from '#protocol/topics/remains'
import { joinSeen } from '#protocol/topics/register'
import { Topics } from '#protocol/topics/topics'
import type { DeletedFeed, RemainsOrder } from '#protocol/topics/remains'
import type { TopicState } from '#protocol/topics/topic-state'
import type { TopicsEffect, TopicsInput } from '#protocol/topics/topics'
import type { Sabotage } from '../sim-peer.ts'
import { longPartitions } from './planted-bug.ts'
import type { PlantedBugs } from './planted-bug.ts'

/** What is read last is believed to have seen everything that is known here. */
class LastWriterWins extends Topics {
  override handle(input: TopicsInput): readonly TopicsEffect[] {
    if (input.type !== 'recordsRead') return super.handle(input)
    const states = input.states.map((state) => ({ ...state, seen: joinSeen(state.seen, this.get(state.topic).seen) }))
    return super.handle({ ...input, states })
  }
}

/** A name is all that a topic is: it is deleted, and there again with all that it was, as soon as somebody uses it. */
class NamesWithoutGenerations extends Topics {
  override get(topic: TopicState['topic']): TopicState {
    return { ...super.get(topic), generation: 0 }
  }
}

/** Whatever is found of a deleted topic goes, whoever published it when. */
class DropBeyondTombstone extends Remains {
  override look<Feed extends DeletedFeed>(feeds: Iterable<Feed>, nowMs: number): readonly RemainsOrder<Feed>[] {
    return super.look(
      [...feeds].map((feed) => ({ ...feed, seen: feed.head })),
      nowMs,
    )
  }
}

const wrongTopics = (Wrong: typeof Topics): Sabotage => ({
  wrongRules: { createTopics: (options) => new Wrong(options) },
})

export const topicBugs: PlantedBugs = {
  'last-writer-wins-config': { sabotage: wrongTopics(LastWriterWins), checker: 'topics', faults: longPartitions },
  'delete-without-generation': {
    sabotage: wrongTopics(NamesWithoutGenerations),
    checker: 'topics',
    faults: longPartitions,
  },
  'drop-beyond-tombstone': {
    sabotage: { wrongRules: { createRemains: (...options) => new DropBeyondTombstone(...options) } },
    checker: 'topics',
    faults: longPartitions,
  },
}
