import type { Peer } from '#protocol/peer/peer'
import type { PartitionNews } from '../driver.ts'
import type { FigureMaker } from './figure.ts'

/** Splits, what their heals merge, and what a peer on its way out has still to hand over. */
export function splitFigures(make: FigureMaker) {
  const islands = make.gauge({
    name: 'grapevine_membership_islands',
    help: 'Islands of members that cannot be reached, by those who were lost together. Above 0: /v1/mesh/partitions tells who, and why.',
  })
  const partitions = make.counter({
    name: 'grapevine_membership_partitions_total',
    help: 'Times that some member could not be reached any more, after all could. Rising: the network, or a peer that restarts.',
  })
  const heals = make.counter({
    name: 'grapevine_membership_heals_total',
    help: 'Times that all could be reached again. Below partitions for long: somebody is still away.',
  })
  const merges = make.gauge({
    name: 'grapevine_replication_merges',
    help: 'Heals of which records are still on their way. Not falling: /v1/mesh/heals tells how many, and behind_feeds why.',
  })
  const merged = make.counter(
    {
      name: 'grapevine_replication_merged_records_total',
      help: 'Records that heals have brought here (received), and to members of the other side (taken, counted for each).',
    },
    ['direction'],
    [{ direction: 'received' }, { direction: 'taken' }],
  )
  const duplicates = make.counter({
    name: 'grapevine_replication_merged_duplicates_total',
    help: 'Of the records received, copies of publishes that both sides had accepted. Readers are given one.',
  })
  const feedsLeft = make.gauge({
    name: 'grapevine_replication_handover_feeds',
    help: 'Feeds that this peer, on its way out, has still to hand over. Not falling: /v1/mesh/replication tells for whom it waits.',
  })
  const recordsLeft = make.gauge({
    name: 'grapevine_replication_handover_records',
    help: 'Records of those feeds.',
  })
  let isSplit = false
  return {
    told: (news: PartitionNews): void => {
      switch (news.type) {
        case 'partitionChanged':
          if (!isSplit) partitions.inc()
          isSplit = true
          return
        case 'partitionHealed':
          isSplit = false
          return heals.inc()
        case 'sidesMerged':
          merged.inc({ direction: 'received' }, news.heal.received.records)
          for (const { taken } of news.heal.theirs) merged.inc({ direction: 'taken' }, taken.records)
          duplicates.inc(news.heal.duplicates)
      }
    },
    collect: (peer: Peer): void => {
      islands(peer.partitions.islands().length)
      merges(peer.partitions.heals().filter(({ state }) => state === 'merging').length)
      const left = peer.leftToHandOver()
      feedsLeft(left?.feeds ?? 0)
      recordsLeft(left?.records ?? 0)
    },
  }
}
