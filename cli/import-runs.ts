import type { PublishOptions } from '#client/publish'
import type { OutgoingRecord } from '#client/record'
import type { ExportedRecord } from './exported-record.ts'

/** Records of one feed that follow each other, to be published in one request under one number. */
export interface ImportRun {
  /** What is to be stored in order: the topic, and the feed that it is from. */
  readonly key: string
  readonly topic: string
  readonly records: readonly OutgoingRecord[]
  readonly producer: NonNullable<PublishOptions['producer']>
}

/** A run is of one block of offsets, so that another export of the feed is cut alike. */
const blockRecords = 256
const runBytesMax = 512 * 1024
/** Of all open runs. */
const openBytesMax = 4 * 1024 * 1024

interface OpenRun {
  readonly key: string
  readonly topic: string
  readonly records: OutgoingRecord[]
  readonly producer: ImportRun['producer']
  bytes: number
}

/** Of a feed: the offset behind its last record, and by whom that is published. */
interface Place {
  readonly next: number
  readonly producer: string
}

/**
 * Cuts records as they come into runs, feed by feed. A run is published by a producer that is called after its feed and
 * block, the place in the block is its number: by these a peer recognizes what an import brings again. What comes behind a hole in
 * its block has a producer of its own, for numbers have no holes.
 */
export class ImportRuns {
  #bytes = 0
  /** By topic and feed, as are the places. */
  readonly #open = new Map<string, OpenRun>()
  readonly #places: Map<string, Place>

  constructor() {
    this.#places = new Map()
  }

  /** The runs that are over now. */
  *add({ topic, origin, record }: ExportedRecord): Generator<ImportRun> {
    const { offset } = origin
    const feed = `${origin.topicId}/${origin.feed}`
    const key = `${topic} ${feed}`
    const bytes = record.value.length
    const place = this.#places.get(key)
    const id = producerOf(feed, offset, place)
    this.#places.set(key, { next: offset + 1, producer: id })
    const run = this.#open.get(key)
    if (run !== undefined && run.producer.id === id && place?.next === offset && run.bytes + bytes <= runBytesMax) {
      run.records.push(record)
      run.bytes += bytes
    } else {
      if (run !== undefined) yield this.#close(key, run)
      const producer = { id, epoch: 0, seq: offset % blockRecords }
      this.#open.set(key, { key, topic, records: [record], producer, bytes })
    }
    this.#bytes += bytes
    if (this.#bytes > openBytesMax) yield* this.end()
  }

  /** All that are left. */
  *end(): Generator<ImportRun> {
    for (const [key, run] of this.#open) yield this.#close(key, run)
  }

  #close(key: string, run: OpenRun): ImportRun {
    this.#open.delete(key)
    this.#bytes -= run.bytes
    return run
  }
}

const blockOf = (offset: number): number => offset - (offset % blockRecords)

function producerOf(feed: string, offset: number, place: Place | undefined): string {
  const isInBlock = place !== undefined && blockOf(place.next - 1) === blockOf(offset)
  if (isInBlock && place.next === offset) return place.producer
  const isBehindHole = isInBlock && place.next < offset
  return `import ${feed} ${isBehindHole ? `${offset}+` : blockOf(offset)}`
}
