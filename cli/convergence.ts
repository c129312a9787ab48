/** What one peer says it holds of one topic; undefined if it does not answer. */
export interface Holding {
  readonly peer: string
  readonly heads: readonly Head[] | undefined
}

export interface Head {
  readonly feed: string
  /** First offset that is kept; a feed that goes on from another one begins there. */
  readonly floor: number
  readonly nextOffset: number
  readonly hash: string
}

/** `behind`: lacks records that another peer has. `differs`: as long as the others, but not the same bytes. */
export type Agreement = 'equal' | 'behind' | 'differs' | 'unreachable'

export interface Comparison {
  readonly peer: string
  readonly agreement: Agreement
  readonly records: number
  /** Records that some peer has and this one lacks. */
  readonly lag: number
}

/**
 * Compares peers with the furthest head of each feed. The hash of a head covers the whole feed up to there (DESIGN §4),
 * so equal heads are equal bytes.
 */
export function compareHoldings(holdings: readonly Holding[]): Comparison[] {
  const furthest = furthestHeads(holdings)
  return holdings.map(({ peer, heads }) => {
    if (heads === undefined) return { peer, agreement: 'unreachable', records: 0, lag: 0 }
    const own = new Map(heads.map((head) => [head.feed, head]))
    let lag = 0
    let differs = false
    for (const [feed, best] of furthest) {
      const head = own.get(feed)
      lag += best.nextOffset - (head?.nextOffset ?? best.floor)
      // A feed without records still opens with a batch: lacking it is no lag in records, but not the same bytes either.
      differs ||=
        head?.nextOffset === best.nextOffset ? head.hash !== best.hash : head === undefined && recordsIn(best) === 0
    }
    const records = heads.reduce((sum, head) => sum + recordsIn(head), 0)
    return { peer, agreement: lag > 0 ? 'behind' : differs ? 'differs' : 'equal', records, lag }
  })
}

const recordsIn = ({ floor, nextOffset }: Head): number => nextOffset - floor

function furthestHeads(holdings: readonly Holding[]): Map<string, Head> {
  const furthest = new Map<string, Head>()
  for (const head of holdings.flatMap(({ heads }) => heads ?? [])) {
    if (head.nextOffset > (furthest.get(head.feed)?.nextOffset ?? -1)) furthest.set(head.feed, head)
  }
  return furthest
}
