import { ackLevelText, copiesNeeded } from '#protocol/ack-level'
import type { ControlMessage } from '#protocol/wire/control-frame'
import type { WireFault } from '#protocol/wire/fault'
import { placeText } from '../history.ts'
import type { PeerId } from '#protocol/ids'
import type { FeedKey } from '#protocol/log/feed'
import type { Answer, Publish } from '../history.ts'
import type { End } from '../link.ts'
import type { Anomaly, Disks } from './anomaly.ts'

/**
 * When each peer wrote the last account of all that it holds which another one has heard. A copy that damage took after
 * that is still believed in good faith.
 */
export class Tellings {
  readonly #disks: Disks
  readonly #toldAtMs = new Map<string, number>()

  constructor(disks: Disks) {
    this.#disks = disks
  }

  controlHeard(at: End, from: PeerId, message: ControlMessage | WireFault, sentAtMs: number): void {
    if (message.type !== 'digest' || !message.initial || message.more) return
    this.#toldAtMs.set(`${at.host.peer}<${from}`, sentAtMs)
  }

  /** May `listener` believe that `teller` has the feed up to `nextOffset` on disk? */
  isTrue(listener: PeerId, teller: PeerId, feed: FeedKey, nextOffset: number): boolean {
    const disk = this.#disks.get(teller)
    if (disk === undefined) return false
    if (disk.nextOffset(feed) >= nextOffset) return true
    const lostAtMs = disk.lostAtMs(feed)
    return lostAtMs !== undefined && lostAtMs >= (this.#toldAtMs.get(`${listener}<${teller}`) ?? 0)
  }
}

/**
 * P2, at the moment of an answer: every disk that it names has the records fsynced; `reached` is said only with as many
 * copies as the level asks for; and nobody registered is left out of the count.
 */
export class AckHonestyChecker {
  readonly #tellings: Tellings

  constructor(tellings: Tellings) {
    this.#tellings = tellings
  }

  check(publish: Publish, answer: Answer, registered: readonly PeerId[]): readonly Anomaly[] {
    const anomalies: Anomaly[] = []
    const blame = (detail: string): void => void anomalies.push({ checker: 'ack-honesty', detail })
    for (const place of answer.places) {
      for (const peer of answer.copies) {
        if (this.#tellings.isTrue(publish.at, peer, place.feed, place.offset + 1)) continue
        blame(`${publish.at} counts a copy of ${placeText(place)} at ${peer}, whose disk does not have it`)
      }
    }
    if (answer.copies[0] !== publish.at) blame(`${publish.at} answers without a copy of its own`)
    const forgotten = registered.filter((peer) => !answer.home.includes(peer))
    if (forgotten.length > 0) blame(`${publish.at} answers as if ${forgotten.join(', ')} did not belong to the mesh`)
    const needed = copiesNeeded(publish.level, answer.home.length)
    const counted = new Set(answer.copies.filter((peer) => !needed.homeOnly || answer.home.includes(peer)))
    if (answer.reached && counted.size < needed.count) {
      blame(`${publish.at} says ${ackLevelText(publish.level)} was reached: ${counted.size} of ${needed.count} copies`)
    }
    return anomalies
  }
}
