import { limits } from '#protocol/limits'
import { isNamed, type PublishTerms } from './publish-messages.ts'
import type { KeptRecord } from './record.ts'

/** What is to be published in one call, and has no place in a message yet. */
export interface OutboxItem {
  readonly terms: PublishTerms
  readonly records: readonly KeptRecord[]
  /** What it takes in memory, about. */
  readonly bytes: number
}

/** A message of so many bytes is not made larger, nor held back for more. */
const messageBytesTarget = 64 * 1024

/**
 * Publishes that wait for their turn, in order within each topic. Those of a topic that are to be answered alike share a message
 * when it is their turn: the longer a peer takes, the more go together.
 */
export class Outbox<Item extends OutboxItem> {
  /** The topic that has waited longest for its turn first. */
  readonly #topics = new Map<string, TopicQueue<Item>>()
  /** Of them, those with enough for a message. */
  readonly #full = new Set<string>()

  get isEmpty(): boolean {
    return this.#topics.size === 0
  }

  /** True: some topic has enough for a whole message. */
  get hasFull(): boolean {
    return this.#full.size > 0
  }

  add(item: Item): void {
    const { topic } = item.terms
    const queue = this.#topics.get(topic) ?? { items: new Set(), bytes: 0 }
    this.#topics.set(topic, queue)
    queue.items.add(item)
    queue.bytes += item.bytes
    if (queue.bytes >= messageBytesTarget) this.#full.add(topic)
  }

  /** Nothing happens if it is not here. */
  delete(item: Item): void {
    const { topic } = item.terms
    const queue = this.#topics.get(topic)
    if (queue?.items.delete(item) !== true) return
    queue.bytes -= item.bytes
    if (queue.bytes < messageBytesTarget) this.#full.delete(topic)
    if (queue.items.size === 0) this.#topics.delete(topic)
  }

  /** What goes together next. */
  take(): readonly Item[] {
    const [topic = ''] = this.#topics.keys()
    const queue = this.#topics.get(topic)
    const taken: Item[] = []
    let count = 0
    let bytes = 0
    for (const item of queue?.items ?? []) {
      count += item.records.length
      bytes += item.bytes
      const isTooMuch = bytes > messageBytesTarget || count > limits.publishRecordsMax
      if (taken[0] !== undefined && (isTooMuch || !areAlike(taken[0].terms, item.terms))) break
      taken.push(item)
    }
    for (const item of taken) this.delete(item)
    // The others' turn.
    if (queue !== undefined && this.#topics.delete(topic)) this.#topics.set(topic, queue)
    return taken
  }
}

interface TopicQueue<Item> {
  readonly items: Set<Item>
  bytes: number
}

const areAlike = (a: PublishTerms, b: PublishTerms): boolean =>
  a.ack === b.ack && a.wait === b.wait && !isNamed(a) && !isNamed(b)
