import type { PeerId, TopicId } from '#protocol/ids'
import type { FeedKey } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import type { LocalFeed, LocalFeeds } from './local-feeds.ts'
import type { Neighbor, NeighborLink } from './neighbor.ts'
import type { Anomalies, Outbox } from './outbox.ts'
import type { Telling } from './telling.ts'

export interface FollowersDeps {
  readonly local: LocalFeeds
  readonly neighbors: ReadonlyMap<PeerId, Neighbor>
  readonly telling: Telling
  readonly anomalies: Anomalies
  readonly outbox: Outbox
}

/** Who follows topics here: each is told of all feeds of a topic that it begins to follow, page by page as it reads. */
export class Followers {
  readonly #deps: FollowersDeps

  constructor(deps: FollowersDeps) {
    this.#deps = deps
  }

  /** What was told to it before is told again: it may have forgotten. */
  follow(peer: PeerId, link: NeighborLink, topics: readonly TopicId[]): void {
    const { local, telling, anomalies } = this.#deps
    if (link.followed.size + topics.length > limits.followedTopicsMax) {
      anomalies.followsRefused++
      return
    }
    const isIdle = link.unlistedTopics.length === 0
    for (const topicId of topics) {
      link.followed.add(topicId)
      telling.followChanged(topicId, peer, link)
      link.unlistedTopics.push({ topicId, feeds: local.ofTopic(topicId).map(({ key }) => key) })
    }
    if (isIdle) this.more(peer, link)
  }

  unfollow(peer: PeerId, link: NeighborLink, topics: readonly TopicId[]): void {
    for (const topicId of topics) {
      link.followed.delete(topicId)
      this.#deps.telling.followChanged(topicId, peer, link)
    }
  }

  /** The next page, if there is one. */
  more(peer: PeerId, link: NeighborLink): void {
    const page: FeedKey[] = []
    const topics: TopicId[] = []
    for (let next = link.unlistedTopics[0]; next !== undefined; next = link.unlistedTopics[0]) {
      page.push(...next.feeds.splice(0, limits.digestFeedsPerMessageMax - page.length))
      if (next.feeds.length > 0 || topics.length === limits.followTopicsPerMessageMax) break
      topics.push(next.topicId)
      link.unlistedTopics.shift()
    }
    if (page.length === 0 && topics.length === 0) return
    this.#deps.telling.tell(peer, page)
    this.#deps.outbox.send(peer, { type: 'followed', topics, more: link.unlistedTopics.length > 0 })
  }

  /** Whose readers wait for these feeds, where they are few: they are told at once. Many are told a little later, in one go. */
  promptly(feeds: readonly LocalFeed[]): readonly PeerId[] {
    return [...new Set(feeds.map(({ feed }) => feed.topicId))].flatMap((topicId) => {
      const followers = [...this.#deps.neighbors.values()].filter(({ link }) => link?.followed.has(topicId))
      return followers.length > limits.promptFollowersMax ? [] : followers.map(({ peer }) => peer)
    })
  }
}
