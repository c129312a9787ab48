import type { ProducerSpan } from '#protocol/log/producer-index'
import type { ErrorCode } from '#protocol/errors'
import type { FeedKey } from '#protocol/log/feed'
import type { Epoch } from '#protocol/ids'
import type { Answer, Numbered, Place, Publish } from '../history.ts'
import { placeText } from '../history.ts'
import type { SimDisk } from '../sim-disk.ts'
import type { Anomaly, Disks } from './anomaly.ts'
import { placesOnDisk, spansOnDisk, wasThere } from './disk-producers.ts'
import type { Written } from './written.ts'

/** What the disk of a peer held when a publish reached it. */
interface Before {
  /** For each record the places that had it already. */
  readonly places: readonly (readonly Place[])[]
  /** The same with what had rotted there, and may be remembered by the peer. */
  readonly everThere: readonly (readonly Place[])[]
  readonly spans: readonly ProducerSpan[]
}

const blame = (detail: string): Anomaly => ({ checker: 'dedupe', detail })

/**
 * P6 at the peers. What a peer holds when a retry reaches it is not stored again there: the answer names it. A record of
 * an epoch that is over is not taken by a peer that holds one of a later epoch. An answer names records with those
 * numbers. And nobody is told of a gap by a peer that it has not published to.
 */
export class DedupeChecker {
  readonly #disks: Disks
  readonly #written: Written
  readonly #before = new Map<Publish, Before>()
  /** Who published where under which epoch. */
  readonly #publishedAt = new Set<string>()
  /** Records that reached a process which did not hold them: it may have them on their way to its disk. */
  readonly #underWay = new Set<string>()

  constructor(disks: Disks, written: Written) {
    this.#disks = disks
    this.#written = written
  }

  /** `boot`: the epoch of the process that it reached. */
  published(publish: Publish, boot: Epoch): void {
    const { numbered, at, topic, values } = publish
    const disk = this.#disks.get(at)
    if (numbered === undefined || disk === undefined) return
    this.#publishedAt.add(stayOf(publish, numbered))
    // What is back from a hole its peer may still be reading.
    const isSettled = (feed: FeedKey, offset: number): boolean => !disk.wasInHole(feed, offset)
    const spans = spansOnDisk(disk, topic, numbered.producer).filter((span) => isSettled(span.feed, span.firstOffset))
    const places = values.map((_, index) =>
      placesOf(disk, topic, numbered, index).filter(({ feed, offset }) => isSettled(feed, offset)),
    )
    const everThere = values.map((_, index) => placesOf(disk, topic, numbered, index, wasThere))
    this.#before.set(publish, { places, everThere, spans })
    values.forEach((value, index) => {
      if (places[index]?.length === 0) this.#underWay.add(`${value} ${at} ${boot}`)
    })
  }

  answered(publish: Publish, answer: Answer): readonly Anomaly[] {
    const { numbered, at, topic, values } = publish
    const before = this.#before.get(publish)
    const disk = this.#disks.get(at)
    this.#before.delete(publish)
    if (numbered === undefined || before === undefined || disk === undefined) return []
    // It let go of something meanwhile: what it held before is not what it went by.
    if (disk.letGo.some(({ atMs }) => atMs >= publish.invokedAtMs)) return []
    return answer.places.flatMap((place, index) => {
      const value = values[index] as string
      const isDamaged = ({ feed, offset }: Place, sinceMs: number) => (disk.lostAtMs(feed, offset) ?? -1) >= sinceMs
      const isTrimmed = ({ feed, offset }: Place) => this.#written.isTrimmed(feed, offset)
      const held = (before.places[index] ?? []).filter((known) => {
        return !isDamaged(known, publish.invokedAtMs) && !isTrimmed(known)
      })
      const [, writer, boot] = place.feed.split('/')
      const isNew = writer === at && !before.everThere[index]?.some((known) => isSame(known, place))
      if (isNew && held.length > 0 && !this.#underWay.has(`${value} ${at} ${boot}`)) {
        return [
          blame(`${at} stores ${value} at ${placeText(place)} although it held ${held.map(placeText).join(', ')}`),
        ]
      }
      const later = before.spans.find(({ epoch, feed, firstOffset }) => {
        return numbered.epoch < epoch && !this.#written.isTrimmed(feed, firstOffset)
      })
      if (isNew && later !== undefined) {
        return [blame(`${at} takes ${value} of epoch ${numbered.epoch} although it held epoch ${later.epoch}`)]
      }
      const isThere = placesOf(disk, topic, numbered, index).some((there) => isSame(there, place))
      // It may have been read before the disk lost it, or before retention let go of it.
      return isThere || isDamaged(place, 0) || isTrimmed(place)
        ? []
        : [blame(`${at} answers ${value} with ${placeText(place)}, which is not that record`)]
    })
  }

  refused(publish: Publish, code: ErrorCode, keeps: (place: Place) => boolean): readonly Anomaly[] {
    const { numbered, at, values } = publish
    const before = this.#before.get(publish)
    this.#before.delete(publish)
    if (numbered === undefined || before === undefined) return []
    if (code === 'RETRY_DIFFERS') return [blame(`${at} says of ${values.join(' ')} that it is another record`)]
    if (before.places.every((places) => places.some(keeps)) && code.startsWith('PRODUCER')) {
      return [blame(`${at} refuses ${values.join(' ')} with ${code} although it held all of it`)]
    }
    if (code !== 'PRODUCER_GAP' || this.#publishedAt.has(stayOf(publish, numbered))) return []
    return [blame(`${at} tells of a gap, and never took a record of ${numbered.producer}/${numbered.epoch}`)]
  }
}

const stayOf = ({ at, topic }: Publish, { producer, epoch }: Numbered): string => `${at} ${topic} ${producer} ${epoch}`

const isSame = (a: Place, b: Place): boolean => a.feed === b.feed && a.offset === b.offset

const placesOf = (
  disk: SimDisk,
  topic: string,
  { producer, epoch, firstSeq }: Numbered,
  index: number,
  isThere?: typeof wasThere,
): Place[] => placesOnDisk(disk, topic, { producer, epoch, seq: firstSeq + index }, isThere)
