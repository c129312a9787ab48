import { feedKeyOf } from '#protocol/log/feed'
import type { Holdings } from '#protocol/partitions/merge'
import type { Replication } from '#protocol/replication/replication'

/** What replication knows of disks, for who counts what a heal moves from one to another. */
export const holdingsOf = ({ local, neighbors, homes }: Replication): Holdings => ({
  *local() {
    for (const { feed, keptFrom, durable } of local.all()) {
      if (durable !== undefined) yield { feed, from: keptFrom, to: durable.nextOffset }
    }
  },
  localEnd: (key) => local.get(key)?.durable?.nextOffset,
  knows: (peer) => neighbors.has(peer),
  *heldBy(peer) {
    for (const { feed, floor, keptFrom, nextOffset } of neighbors.get(peer)?.heads.values() ?? []) {
      yield { feed, from: Math.max(floor, keptFrom), to: nextOffset }
    }
  },
  endAt: (peer, key) => neighbors.get(peer)?.heads.get(key)?.nextOffset,
  keeps: (peer, feed) => homes.isKeeper(feed.topicId, peer) || (peer === homes.self && local.has(feedKeyOf(feed))),
})
