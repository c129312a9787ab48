import { topicFeedText } from '../history.ts'
import type { ErrorCode } from '#protocol/errors'
import type { Publish } from '../history.ts'
import type { SimPeer } from '../sim-peer.ts'
import type { Anomaly, Disks } from './anomaly.ts'
import type { HomeOf } from './convergence.ts'
import { holds } from './handoff.ts'
import type { Written } from './written.ts'

const blame = (detail: string): Anomaly => ({ checker: 'decommission', detail })

/**
 * Who says that it has handed over has: all that its disk holds is on the disk of every member that it sees at home, unless a
 * disk there has lost it to damage. And who is on its way out takes no publish, and nobody else says that it is.
 */
export class DecommissionChecker {
  /** What was published at peers that were on their way out. */
  readonly #hopeless = new Set<Publish>()

  handedOver(
    { id, disk }: Pick<SimPeer, 'id' | 'disk'>,
    { disks, homeOf, written }: { readonly disks: Disks; readonly homeOf: HomeOf; readonly written: Written },
  ): readonly Anomaly[] {
    return [...disk.feeds].flatMap(([key, { feed, state }]) => {
      const from = Math.max(state.keptFrom, written.floors.get(key) ?? 0)
      const to = state.head.nextOffset
      // What is empty may have been forgotten at home.
      if (to <= from) return []
      const home = homeOf(feed.topicId)
      const lacking = home.filter((peer) => !holds(disks.get(peer), { feed: key, from, to }))
      if (home.length > 0 && lacking.length === 0) return []
      return [
        blame(`${id} has handed over ${topicFeedText(key)} [${from}, ${to}), which is not at ${lacking.join(', ')}`),
      ]
    })
  }

  /** `isGoing`: by what its peer itself knows. */
  published(publish: Publish, isGoing: boolean): void {
    if (isGoing) this.#hopeless.add(publish)
  }

  answered(publish: Publish): readonly Anomaly[] {
    if (!this.#hopeless.delete(publish)) return []
    return [blame(`${publish.at} takes ${publish.values.join(' ')} on its way out`)]
  }

  refused(publish: Publish, code: ErrorCode): readonly Anomaly[] {
    const isHopeless = this.#hopeless.delete(publish)
    if (isHopeless || (code !== 'DECOMMISSIONED' && code !== 'FORGOTTEN')) return []
    return [blame(`${publish.at} refuses ${publish.values.join(' ')} as if it were on its way out`)]
  }
}
