import { topicFeedText } from '../history.ts'
import { feedKeyOf, NOTHING } from '#protocol/log/feed'
import type { PeerId, TopicId } from '#protocol/ids'
import type { FeedId, FeedKey, Head } from '#protocol/log/feed'
import type { ControlMessage } from '#protocol/wire/control-frame'
import type { WireFault } from '#protocol/wire/fault'
import type { StoreChange } from '#storage/feed-store'
import type { LostRange, SimDisk } from '../sim-disk.ts'
import type { SimPeer } from '../sim-peer.ts'
import type { Anomaly, Disks } from './anomaly.ts'
import type { HomeOf } from './convergence.ts'
import type { Written } from './written.ts'

const blame = (detail: string): Anomaly => ({ checker: 'handoff', detail })

export interface LetGoView {
  readonly disks: Disks
  /** By the registry of the peer, now. */
  readonly homeOf: HomeOf
  /** The same when the last confirmation of that feed came; undefined if that was longer ago than a write may take. */
  readonly homeAsked: (feed: FeedKey) => readonly PeerId[] | undefined
  readonly written: Written
}

/**
 * Handoff before delete, at the moment of deletion: all that a peer lets go of is on the disk of every member that it saw at
 * home when it was told to, unless a disk there has lost it to damage. Its own disk may be slow: who came home meanwhile gets it
 * from the others. (Seed 4384.)
 */
export function checkLetGo(
  { id, disk }: Pick<SimPeer, 'id' | 'disk'>,
  changes: readonly StoreChange[],
  { disks, homeOf, homeAsked, written }: LetGoView,
): readonly Anomaly[] {
  return disk.rangesLetGo(changes).flatMap((range) => {
    // Of what retention lets go of, somewhere, nobody needs a copy.
    if ((written.floors.get(range.feed) ?? NOTHING) >= range.to) return []
    const home = homeAsked(range.feed) ?? homeOf(range.feed.split('/')[0] as TopicId)
    const lacking = home.filter((peer) => !holds(disks.get(peer), range))
    if (home.length > 0 && lacking.length === 0) return []
    const what = `${range.feed.split('/')[1]} [${range.from}, ${range.to})`
    return [blame(`${id} lets go of ${what}, which is not at ${lacking.join(', ')}`)]
  })
}

/**
 * The other side of it: who confirms is at home by its own registry, and its disk holds all that it was asked about.
 * `homeAt`: by the registry of that peer.
 */
export class ConfirmationChecker {
  readonly #asked = new Map<string, Head & { readonly feed: FeedId }>()
  /** Who was at home by the registry of a peer when it was last told that somebody holds a feed. */
  readonly #homes = new Map<string, { readonly home: readonly PeerId[]; readonly atMs: number }>()
  readonly #writeMsMax: number

  constructor(writeMsMax: number) {
    this.#writeMsMax = writeMsMax
  }

  heard(
    { peer: at, nowMs: atMs, homeOf }: { readonly peer: PeerId; readonly nowMs: number; readonly homeOf: HomeOf },
    from: PeerId,
    message: ControlMessage | WireFault,
  ): void {
    if (message.type === 'handoff') this.#asked.set(`${at}<${from} ${message.ref}`, message)
    if (message.type !== 'handoffConfirmed') return
    const asked = this.#asked.get(`${from}<${at} ${message.ref}`)
    const home = asked && homeOf(asked.feed.topicId)
    if (asked !== undefined && home !== undefined) this.#homes.set(`${at} ${feedKeyOf(asked.feed)}`, { home, atMs })
  }

  homeAsked(at: PeerId, feed: FeedKey, nowMs: number): readonly PeerId[] | undefined {
    const { home, atMs = Number.NEGATIVE_INFINITY } = this.#homes.get(`${at} ${feed}`) ?? {}
    return nowMs - atMs <= this.#writeMsMax ? home : undefined
  }

  sent(
    from: { readonly id: PeerId; readonly disk: SimDisk | undefined },
    to: PeerId,
    message: ControlMessage | WireFault,
    home: (topicId: TopicId) => readonly PeerId[],
  ): readonly Anomaly[] {
    if (message.type !== 'handoffConfirmed') return []
    const { id, disk } = from
    const asked = this.#asked.get(`${id}<${to} ${message.ref}`)
    if (asked === undefined) return [blame(`${id} confirms to ${to} what it was not asked for`)]
    const { feed, nextOffset } = asked
    if (!home(feed.topicId).includes(id)) return [blame(`${id}, which is not at home, confirms to ${to}`)]
    const stored = disk?.feeds.get(feedKeyOf(feed))
    const range = { feed: feedKeyOf(feed), from: stored?.state.floor.nextOffset ?? 0, to: nextOffset }
    return holds(disk, range) ? [] : [blame(`${id} confirms to ${to} what it does not have`)]
  }
}

/** When all is over and nobody stands in for anybody, nobody else than home has records of others, or its own from long ago. */
export function checkLeftovers(disks: Disks, homeOf: HomeOf): readonly Anomaly[] {
  return [...disks].flatMap(([peer, disk]) =>
    [...disk.feeds].flatMap(([key, { feed, state }]) => {
      const home = homeOf(feed.topicId)
      if (home.includes(peer)) return []
      // Who holds a part of what damage has taken elsewhere is not told that all is there.
      const isDamaged = [...home, peer].some((one) => (disks.get(one)?.feeds.get(key)?.state.holes.length ?? 0) > 0)
      if (isDamaged) return []
      if (feed.writer === peer && state.keptFrom === state.head.nextOffset) return []
      return [blame(`${peer} still holds ${topicFeedText(key)} from ${state.keptFrom} to ${state.head.nextOffset}`)]
    }),
  )
}

export function holds(disk: SimDisk | undefined, { feed, from, to }: Omit<LostRange, 'atMs'>): boolean {
  if (disk === undefined) return false
  const state = disk.feeds.get(feed)?.state
  const isHeld = state !== undefined && state.keptFrom <= Math.max(from, state.floor.nextOffset)
  if (isHeld && state.head.nextOffset >= to && !state.holes.some((hole) => hole.from < to)) return true
  return disk.lostAtMs(feed) !== undefined
}
