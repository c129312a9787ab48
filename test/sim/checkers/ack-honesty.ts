import { ackLevelText, copiesNeeded } from '#protocol/ack-level'
import type { ControlMessage } from '#protocol/wire/control-frame'
import type { WireFault } from '#protocol/wire/fault'
import { NOTHING } from '#protocol/log/feed'
import { placeText } from '../history.ts'
import type { PeerId } from '#protocol/ids'
import type { FeedKey } from '#protocol/log/feed'
import type { PublishAck } from '#gateway/broker'
import type { Question } from '../askers.ts'
import type { Answer, Publish } from '../history.ts'
import type { End } from '../link.ts'
import type { Anomaly, Disks } from './anomaly.ts'

/**
 * When each peer wrote the last account of all that it holds which another one has heard. A copy that damage took after
 * that, or that its holder has let go of since, is still believed in good faith.
 */
export class Tellings {
  readonly #disks: Disks
  readonly #toldAtMs = new Map<string, number>()
  /** What was the last account before the last summary. */
  readonly #summaries = new Map<string, number>()

  constructor(disks: Disks) {
    this.#disks = disks
  }

  controlHeard(at: End, from: PeerId, message: ControlMessage | WireFault, sentAtMs: number): void {
    const pair = `${at.host.machine}<${from}`
    if (message.type === 'summary') this.#summaries.set(pair, this.#toldAtMs.get(pair) ?? 0)
    const isAccount = message.type === 'summary' || (message.type === 'digest' && message.listing?.more === false)
    if (isAccount) this.#toldAtMs.set(pair, sentAtMs)
  }

  /** It remembers something else than that account: the one before is the last it has. */
  controlSent(at: End, to: PeerId, message: ControlMessage | WireFault): void {
    const pair = `${at.host.machine}<${to}`
    if (message.type === 'summaryDiffers') this.#toldAtMs.set(pair, this.#summaries.get(pair) ?? 0)
  }

  /**
   * May `listener` believe that `teller` has the feed up to `nextOffset` on disk, without a hole above `wholeFrom` that it knows
   * of? What bits have flipped since is still told in good faith.
   */
  isTrue(listener: PeerId, teller: PeerId, feed: FeedKey, nextOffset: number, wholeFrom = 0): boolean {
    const disk = this.#disks.get(teller)
    if (disk === undefined) return false
    if (disk.wholeUpTo(feed, wholeFrom) >= nextOffset) return true
    if ((disk.twin?.wholeUpTo(feed, wholeFrom) ?? NOTHING) >= nextOffset) return true
    const missingSinceMs = disk.missingSinceMs(feed)
    return missingSinceMs !== undefined && missingSinceMs >= (this.#toldAtMs.get(`${listener}<${teller}`) ?? 0)
  }
}

/** What the peer that answers knows. */
export interface Sight {
  /** Whom the topic belongs to, by its registry. */
  readonly home: readonly PeerId[]
  /** What of a feed a copy begins with: below, it is let go of before that is on disk, with its holes. */
  readonly keptFrom: (peer: PeerId, feed: FeedKey) => number
}

/**
 * P2, at the moment of an answer: every disk that it names has the records fsynced; `reached` is said only with as many
 * copies as the level asks for; and home is who the topic belongs to, of all that are registered.
 */
export class AckHonestyChecker {
  readonly #tellings: Tellings
  readonly #strangers: Set<PeerId>

  /** `joiners` are to join by somebody else: until they have met anybody they know of no mesh to count. */
  constructor(tellings: Tellings, joiners: Iterable<PeerId>) {
    this.#tellings = tellings
    this.#strangers = new Set(joiners)
  }

  linkUp(peer: PeerId): void {
    this.#strangers.delete(peer)
  }

  check(publish: Publish, answer: Answer, sight: Sight): readonly Anomaly[] {
    const own = `${publish.at} answers without a copy of its own`
    return [
      ...this.#checkAnswer(publish, answer, sight),
      ...(answer.copies[0] === publish.at ? [] : [{ checker: 'ack-honesty' as const, detail: own }]),
    ]
  }

  /** The same for who asks later, of a peer that need not have a copy. */
  told({ at, place, level }: Question, { reached, peers, home: told }: PublishAck, sight: Sight) {
    // A peer is named as it is identified.
    const [copies, toldHome] = [peers as readonly PeerId[], told as readonly PeerId[]]
    const asked = { at: at.id, machine: at.machine, level }
    return this.#checkAnswer(asked, { reached, places: [place], copies, home: toldHome }, sight)
  }

  #checkAnswer(
    { at, machine, level }: Pick<Publish, 'at' | 'machine' | 'level'>,
    answer: Pick<Answer, 'reached' | 'places' | 'copies' | 'home'>,
    { home, keptFrom }: Sight,
  ): readonly Anomaly[] {
    const anomalies: Anomaly[] = []
    const blame = (detail: string): void => void anomalies.push({ checker: 'ack-honesty', detail })
    for (const place of answer.places) {
      for (const peer of answer.copies) {
        const wholeFrom = keptFrom(peer, place.feed)
        if (this.#tellings.isTrue(machine, peer, place.feed, place.offset + 1, wholeFrom)) continue
        blame(`${at} counts a copy of ${placeText(place)} at ${peer}, whose disk does not have it`)
      }
    }
    if (answer.home.join() !== home.join()) {
      blame(`${at} answers as if home were ${answer.home.join(', ')}: it is ${home.join(', ')}`)
    }
    if (answer.reached && level.type !== 'local' && this.#strangers.has(at)) {
      blame(`${at} says ${ackLevelText(level)} was reached, before it has met anybody`)
    }
    for (const { count, homeOnly } of answer.reached ? copiesNeeded(level, home.length) : []) {
      const counted = new Set(answer.copies.filter((peer) => !homeOnly || home.includes(peer)))
      if (counted.size >= count) continue
      blame(`${at} says ${ackLevelText(level)} was reached: ${counted.size} of ${count} copies`)
    }
    return anomalies
  }
}
