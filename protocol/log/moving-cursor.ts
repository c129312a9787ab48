import type { Digests } from '#protocol/digests'
import type { TopicId } from '#protocol/ids'
import { type CursorEntry, CursorFrame, encodeEntry, type EncodedEntry } from './cursor.ts'
import type { Hlc } from './hybrid-clock.ts'
import { type Lineage, normalizeVector, positionsOf } from './version-vector.ts'
import { type VectorKey, vectorKeyOf, type VersionVector } from './version-vector.ts'

/** The cursor at one moment; its text is made when somebody asks. */
export interface CursorMoment {
  readonly text: string
}

/**
 * The cursor of a reader that moves on record by record.
 *
 * 1. `#listed` and `#moving` together are the entries; none of them is implied by the others, as far as `learn` told.
 * 2. `positions` is all that they imply, of feeds that are not known here too. It is never lowered.
 * 3. While one feed moves, everything before its entry stays as it is: see `CursorFrame`.
 */
export class MovingCursor {
  readonly #topicId: TopicId
  readonly #sinceHlc: Hlc
  readonly #digests: Digests
  #lineage: Lineage = new Map()
  #positions: Map<VectorKey, number>
  readonly #listed = new Map<VectorKey, ListedEntry>()
  #moving: CursorEntry | undefined
  #frame: CursorFrame | undefined

  constructor(start: { topicId: TopicId; sinceHlc: Hlc; entries: readonly CursorEntry[] }, digests: Digests) {
    this.#topicId = start.topicId
    this.#sinceHlc = start.sinceHlc
    this.#digests = digests
    for (const entry of start.entries) this.#list(entry)
    this.#positions = new Map(this.#vector())
  }

  get positions(): VersionVector {
    return this.#positions
  }

  /** Is there an entry of this feed, or do others imply it at most? */
  lists(feed: VectorKey): boolean {
    return this.#listed.has(feed) || (this.#moving !== undefined && keyOf(this.#moving) === feed)
  }

  get now(): CursorMoment {
    this.#frame ??= this.#newFrame()
    return new FrameMoment(this.#frame, this.#moving)
  }

  /** Takes in openings known by now: entries may imply more than before, other entries among it. */
  learn(lineage: Lineage): void {
    this.#lineage = lineage
    this.#positions = new Map(positionsOf(this.#vector(), lineage))
    this.#normalize()
  }

  move(entry: CursorEntry): void {
    const key = keyOf(entry)
    if (this.#moving === undefined || keyOf(this.#moving) !== key) this.#changeMoving(key)
    this.#moving = entry
    const isNew = !this.#positions.has(key)
    this.#positions.set(key, entry.nextOffset)
    // The first entry of a feed replaces those of its predecessors, except for what they have beyond their links.
    if (isNew) this.#normalize()
  }

  #changeMoving(key: VectorKey): void {
    if (this.#moving !== undefined) this.#list(this.#moving)
    this.#listed.delete(key)
    this.#frame = undefined
  }

  #normalize(): void {
    const kept = normalizeVector(this.#vector(), this.#lineage)
    for (const key of this.#listed.keys()) if (!kept.has(key)) this.#listed.delete(key)
    if (this.#moving !== undefined && !kept.has(keyOf(this.#moving))) this.#moving = undefined
    this.#frame = undefined
  }

  #list(entry: CursorEntry): void {
    this.#listed.set(keyOf(entry), { nextOffset: entry.nextOffset, encoded: encodeEntry(entry) })
  }

  #vector(): VersionVector {
    const vector = new Map([...this.#listed].map(([key, { nextOffset }]) => [key, nextOffset]))
    if (this.#moving !== undefined) vector.set(keyOf(this.#moving), this.#moving.nextOffset)
    return vector
  }

  #newFrame(): CursorFrame {
    const others = [...this.#listed.values()]
    return new CursorFrame({ topicId: this.#topicId, sinceHlc: this.#sinceHlc, others }, this.#digests)
  }
}

interface ListedEntry {
  readonly nextOffset: number
  readonly encoded: EncodedEntry
}

class FrameMoment implements CursorMoment {
  readonly #frame: CursorFrame
  readonly #moving: CursorEntry | undefined

  constructor(frame: CursorFrame, moving: CursorEntry | undefined) {
    this.#frame = frame
    this.#moving = moving
  }

  get text(): string {
    return this.#frame.at(this.#moving)
  }
}

const keyOf = ({ writer, epoch }: CursorEntry): VectorKey => vectorKeyOf(writer, epoch)
