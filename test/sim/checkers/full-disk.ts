import type { ErrorCode } from '#protocol/errors'
import type { PeerId } from '#protocol/ids'
import type { BatchToStore, StoreChange } from '#storage/feed-store'
import type { Publish } from '../history.ts'
import type { Anomaly } from './anomaly.ts'

const blame = (detail: string): Anomaly => ({ checker: 'full-disk', detail })

/**
 * Whose disk is full takes no publishes and says why, and stores nothing of others beyond what was on its way there. Nobody else
 * says so.
 */
export class FullDiskChecker {
  /** Peers whose disk is full, and how many batches may still be on their way there. */
  readonly #underWay = new Map<PeerId, number>()
  /** What was published at them. */
  readonly #hopeless = new Set<Publish>()

  changed(peer: PeerId, full: boolean, batchesUnderWay: number): void {
    if (full) this.#underWay.set(peer, batchesUnderWay)
    else this.#underWay.delete(peer)
  }

  published(publish: Publish): void {
    if (this.#underWay.has(publish.machine)) this.#hopeless.add(publish)
  }

  answered(publish: Publish): readonly Anomaly[] {
    if (!this.#hopeless.delete(publish)) return []
    return [blame(`${publish.at} takes ${publish.values.join(' ')} although its disk is full`)]
  }

  refused(publish: Publish, code: ErrorCode): readonly Anomaly[] {
    const isHopeless = this.#hopeless.delete(publish)
    if (code !== 'DISK_FULL' || isHopeless) return []
    return [blame(`${publish.at} refuses ${publish.values.join(' ')} as if its disk were full`)]
  }

  appended(peer: PeerId, batches: readonly BatchToStore[], changes: readonly StoreChange[]): readonly Anomaly[] {
    const left = this.#underWay.get(peer)
    if (left === undefined) return []
    const filled = changes.flatMap((change) => (change.type === 'fill' ? change.batches : []))
    const ofOthers = [...batches.filter(({ feed }) => feed.writer !== peer), ...filled].length
    this.#underWay.set(peer, left - ofOthers)
    if (ofOthers === 0 || left >= ofOthers) return []
    return [
      blame(`${peer} stores ${ofOthers} batches of others although its disk is full, of which ${left} were under way`),
    ]
  }
}
