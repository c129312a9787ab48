/** What one peer says it holds of one topic; undefined if it does not answer. */
export interface Holding {
  readonly peer: string
  readonly heads: readonly Head[] | undefined
  /** Does the topic belong to it? Of what others hold only counts what these lack. */
  readonly atHome: boolean
}

export interface Head {
  readonly feed: string
  /** First offset that is kept; a feed that goes on from another one begins there. */
  readonly floor: number
  /** First offset that is there, where more than that was let go of. */
  readonly keptFrom?: number
  readonly nextOffset: number
  readonly hash: string
  /** Offsets that are damaged there. */
  readonly holes?: readonly Range[]
}

interface Range {
  readonly from: number
  readonly to: number
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
 * Compares the peers at home with the furthest head of each feed. The hash of a head covers the whole feed up to there
 * (DESIGN §4), so equal heads are equal bytes, but for damage.
 */
export function compareHoldings(holdings: readonly Holding[]): Comparison[] {
  const furthest = furthestHeads(holdings)
  const everywhere = Map.groupBy(
    holdings.flatMap(({ heads = [] }) => heads),
    ({ feed }) => feed,
  )
  const atHome = holdings.filter((holding) => holding.atHome)
  return atHome.map(({ peer, heads }) => {
    if (heads === undefined) return { peer, agreement: 'unreachable', records: 0, lag: 0 }
    const own = new Map(heads.map((head) => [head.feed, head]))
    let lag = 0
    let differs = false
    for (const [feed, best] of furthest) {
      const head = own.get(feed)
      lag += best.nextOffset - (head?.nextOffset ?? firstKept(best))
      for (const hole of head?.holes ?? []) lag += recordsElsewhere(hole, everywhere.get(feed) ?? [])
      // A feed without records still opens with a batch: lacking it is no lag in records, but not the same bytes either.
      differs ||=
        head?.nextOffset === best.nextOffset ? head.hash !== best.hash : head === undefined && recordsIn(best) === 0
    }
    const records = heads.reduce((sum, head) => sum + recordsIn(head), 0)
    return { peer, agreement: lag > 0 ? 'behind' : differs ? 'differs' : 'equal', records, lag }
  })
}

const firstKept = ({ floor, keptFrom = floor }: Head): number => Math.max(floor, keptFrom)
const recordsIn = (head: Head): number => head.nextOffset - firstKept(head)

/** Home first. What somebody else has kept of a feed that is empty, and gone at home, is nothing that home lacks. */
function furthestHeads(holdings: readonly Holding[]): Map<string, Head> {
  const furthest = new Map<string, Head>()
  const take = (head: Head): void => {
    if (head.nextOffset > (furthest.get(head.feed)?.nextOffset ?? -1)) furthest.set(head.feed, head)
  }
  for (const { atHome, heads = [] } of holdings) if (atHome) heads.forEach(take)
  for (const { atHome, heads = [] } of holdings) if (!atHome) heads.filter((head) => recordsIn(head) > 0).forEach(take)
  return furthest
}

/** Of a damaged range, what is whole somewhere: the rest is lost, and lacking it is no difference. */
function recordsElsewhere(hole: Range, heads: readonly Head[]): number {
  const pieces = heads.flatMap((head) => soundWithin(hole, head)).toSorted((a, b) => a.from - b.from)
  let [records, end] = [0, hole.from]
  for (const { from, to } of pieces) {
    records += Math.max(0, to - Math.max(from, end))
    end = Math.max(end, to)
  }
  return records
}

function soundWithin({ from, to }: Range, head: Head): readonly Range[] {
  let at = Math.max(from, firstKept(head))
  const end = Math.min(to, head.nextOffset)
  const pieces: Range[] = []
  for (const hole of [...(head.holes ?? []), { from: end, to: end }]) {
    if (at < Math.min(hole.from, end)) pieces.push({ from: at, to: Math.min(hole.from, end) })
    at = Math.max(at, hole.to)
  }
  return pieces
}
