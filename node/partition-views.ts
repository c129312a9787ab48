import type { PeerId } from '#protocol/ids'
import type { Millis } from '#protocol/machine'
import type { HealReport, Island } from '#protocol/partitions/inputs'
import type { Partitions } from '#protocol/partitions/partitions'
import type { HealView, IslandView, PartitionsView } from '#protocol/views'
import type { Clock } from './driver-ports.ts'

export interface ViewDeps {
  readonly clock: Clock
  readonly nameOf: (peer: PeerId) => string
}

export function partitionsView(partitions: Partitions, deps: ViewDeps): PartitionsView {
  const { reachable } = partitions.reach()
  const islands = partitions.islands()
  const split = islands.length > 0
  const sinceMs = Math.min(...islands.map((island) => island.sinceMs))
  const ours: IslandView = { side: 'ours', ...(split && ageOf(sinceMs, deps)), members: reachable.map(named(deps)) }
  return { split, islands: [ours, ...islands.map((island) => islandView(island, deps))] }
}

function islandView({ sinceMs, sinceStart, members }: Island, deps: ViewDeps): IslandView {
  return {
    side: 'away',
    ...ageOf(sinceMs, deps),
    ...(sinceStart && { sinceStart }),
    members: members.map(({ peer, by, reason, ...member }) => {
      return { ...named(deps)(peer), sinceMs: ageOf(member.sinceMs, deps).sinceMs, by: deps.nameOf(by), reason }
    }),
  }
}

export function healView(report: HealReport, deps: ViewDeps): HealView {
  const { number: id, state, sinceMs, healedMs, mergedMs, sinceStart, reason, ours, received, duplicates } = report
  const theirs = report.theirs.map(({ peer, taken }) => {
    return { ...named(deps)(peer), taken: taken.records, left: taken.left }
  })
  return {
    id,
    state,
    from: timeOf(sinceMs, deps),
    until: timeOf(healedMs, deps),
    durationMs: Math.round(healedMs - sinceMs),
    ...(sinceStart && { sinceStart }),
    ...(mergedMs !== undefined && { mergedInMs: Math.round(mergedMs - healedMs) }),
    reason,
    ours: ours.map(named(deps)),
    theirs,
    received,
    taken: { records: sumOf(theirs.map(({ taken }) => taken)), left: sumOf(theirs.map(({ left }) => left)) },
    duplicates,
    ...(report.isPartial && { partial: true }),
  }
}

const named =
  ({ nameOf }: ViewDeps) =>
  (peer: PeerId): { readonly peer: PeerId; readonly name: string } => ({ peer, name: nameOf(peer) })

/** What was so many monotonic milliseconds after the start, on the wall. */
const timeOf = (atMs: Millis, { clock }: ViewDeps): string =>
  new Date(clock.wallMs() - (clock.nowMs() - atMs)).toISOString()

const ageOf = (atMs: Millis, deps: ViewDeps) => ({
  since: timeOf(atMs, deps),
  sinceMs: Math.round(deps.clock.nowMs() - atMs),
})

const sumOf = (numbers: readonly number[]): number => numbers.reduce((sum, one) => sum + one, 0)
