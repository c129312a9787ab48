import type { FeedHead } from '#protocol/views'
import { Findings } from '../findings.ts'

/** What one peer says that it holds itself of one topic. */
export interface Holding {
  readonly peer: string
  readonly topic: string
  readonly feeds: readonly FeedHead[]
}

/**
 * P3: after the heal all home members of a topic hold the same bytes. Equal head and equal hash are equal contents, less the
 * holes, which are equal only where nobody has that range any more.
 */
export function checkEqual(holdings: readonly Holding[]): Findings {
  const differences = new Findings()
  for (const [topic, held] of Map.groupBy(holdings, (holding) => holding.topic)) {
    const [first, ...others] = held
    if (first === undefined) continue
    for (const other of others) {
      const feeds = differingFeeds(first, other)
      if (feeds.length > 0) differences.add(`${topic}: ${first.peer} and ${other.peer} differ in ${feeds.join(', ')}`)
    }
  }
  return differences
}

function differingFeeds(one: Holding, other: Holding): readonly string[] {
  const [ours, theirs] = [headsOf(one), headsOf(other)]
  return [...new Set([...ours.keys(), ...theirs.keys()])].filter((feed) => ours.get(feed) !== theirs.get(feed))
}

const headsOf = ({ feeds }: Holding): ReadonlyMap<string, string> =>
  new Map(feeds.map(({ feed, ...head }) => [feed, JSON.stringify(head)]))
