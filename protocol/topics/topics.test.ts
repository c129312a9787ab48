// Goal: what a client is told of a topic is on disk, and a flood of topics is few records. Method: the machine and a disk made by hand.
import { describe, expect, test } from 'vitest'
import type { Epoch, PeerId } from '#protocol/ids'
import { pureDigests } from '#protocol/log/pure-digests'
import { limits } from '#protocol/limits'
import type { TopicName } from '#protocol/topic-name'
import type { AskedConfig } from '#protocol/topic-config'
import { decodeTopics } from './topic-records.ts'
import { configOf, exists, type TopicState } from './topic-state.ts'
import { type TopicEdit, Topics, type TopicsEffect, type TopicsInput } from './topics.ts'

const orders = 'orders' as TopicName
const put = (asked: AskedConfig): TopicEdit => ({ type: 'put', asked, atMs: 1 })
const patch = (asked: AskedConfig, version?: string): TopicEdit => ({ type: 'patch', asked, version, atMs: 2 })
const remove: TopicEdit = { type: 'delete', generation: 0, atMs: 3, upTo: new Map() }

/** A peer's registry with the record that is on its way to disk. */
class Registry {
  readonly topics: Topics
  /** What happened that is no write, in words. */
  readonly said: string[] = []
  readonly writes: string[] = []
  #lastRef = 0

  constructor(name: string, states: readonly TopicState[] = [], { ownStates = 0, compactAfter = 1_024 } = {}) {
    const epoch = name.charCodeAt(0).toString(16).padStart(16, '0') as Epoch
    const compaction = { ownStates, compactAfter }
    this.topics = new Topics({ self: name as PeerId, epoch, digests: pureDigests, states, ...compaction })
  }

  use(topic: TopicName): void {
    this.#handle({ type: 'topicUsed', topic })
  }

  edit(edit: TopicEdit, topic = orders): void {
    this.#handle({ type: 'topicEdited', ref: ++this.#lastRef, topic, edit })
  }

  stored(): void {
    this.#handle({ type: 'recordWritten' })
  }

  hear(states: readonly TopicState[]): void {
    this.#handle({ type: 'recordsRead', states })
  }

  /** What the last write says. */
  get lastStates(): readonly TopicState[] {
    return decodeTopics(this.writes.at(-1) ?? '') ?? []
  }

  #handle(input: TopicsInput): void {
    for (const effect of this.topics.handle(input)) this.#perform(effect)
  }

  #perform(effect: TopicsEffect): void {
    if (effect.type === 'writeTopics') this.writes.push(effect.text)
    else if (effect.type === 'topicSettled') this.said.push(`${effect.ref} ${effect.created ? 'created' : 'done'}`)
    else if (effect.type === 'topicRefused') this.said.push(`${effect.ref} ${effect.code}`)
    else if (effect.type === 'topicUpdated')
      this.said.push(`${effect.now.topic} ${exists(effect.now) ? 'exists' : 'is gone'}`)
    else this.said.push(effect.type)
  }
}

describe('a client', () => {
  test('is told that a topic is made when that is on disk, not before', () => {
    const oak = new Registry('oak')
    oak.edit(put({ replicas: 5 }))
    expect(oak.said).toEqual([])
    expect(exists(oak.topics.get(orders))).toBe(false)
    oak.stored()
    expect(oak.said).toEqual(['orders exists', '1 created'])
    expect(configOf(oak.topics.get(orders)).replicas).toBe(5)
  })

  test('that asks for what is being made waits for it; one that asks for something else is told so', () => {
    const oak = new Registry('oak')
    for (const asked of [{ replicas: 5 }, {}, { replicas: 5 }, { replicas: 4 }]) oak.edit(put(asked))
    oak.stored()
    expect(oak.said).toEqual(['4 TOPIC_DIFFERS', 'orders exists', '1 created', '2 done', '3 done'])
    expect(oak.writes.length).toBe(1)
  })

  test('changes what it has read, or is told that it was changed since', () => {
    const oak = new Registry('oak')
    oak.edit(patch({ replicas: 4 }))
    oak.edit(put({}))
    oak.stored()
    const version = oak.topics.versionOf(oak.topics.get(orders))
    oak.edit(patch({ replicas: 4 }, version))
    oak.edit(patch({ replicas: 6 }, version))
    oak.edit(patch({ minAck: { type: 'all' } }))
    oak.stored()
    oak.stored()
    expect(oak.said.filter((said) => said !== 'orders exists')).toEqual([
      '1 TOPIC_NOT_FOUND',
      '2 created',
      '4 TOPIC_CHANGED',
      '3 done',
      '5 done',
    ])
    expect(configOf(oak.topics.get(orders))).toEqual({ replicas: 4, retention: {}, minAck: { type: 'all' } })
  })

  test('deletes a topic, and the name is free as soon as that is on disk', () => {
    const oak = new Registry('oak')
    oak.use(orders)
    oak.stored()
    oak.edit(remove)
    oak.stored()
    expect(oak.said).toEqual(['orders exists', 'orders is gone', '1 done'])
    oak.edit(put({ replicas: 2 }))
    oak.stored()
    expect(oak.topics.get(orders).generation).toBe(1)
    expect(oak.said.slice(3)).toEqual(['orders exists', '2 created'])
  })

  test('is answered, too, when somebody else deletes what it asked for', () => {
    const oak = new Registry('oak')
    const elm = new Registry('elm')
    for (const peer of [oak, elm]) peer.use(orders)
    for (const peer of [oak, elm]) peer.stored()
    elm.edit(remove)
    oak.edit(patch({ replicas: 9 }))
    oak.hear(elm.lastStates)
    expect(oak.said).toEqual(['orders exists', 'orders is gone', '1 done'])
    oak.stored()
    expect(exists(oak.topics.get(orders))).toBe(false)
  })
})

test('a topic that is deleted twice at once is deleted once', () => {
  const oak = new Registry('oak')
  oak.use(orders)
  oak.stored()
  oak.edit(remove)
  oak.edit(remove)
  oak.stored()
  expect(oak.said).toEqual(['orders exists', 'orders is gone', '1 done', '2 done'])
  expect(oak.topics.get(orders).generation).toBe(1)
})

describe('what a peer has written', () => {
  test('is said once more when most of it says nothing new, and then what was before may go', () => {
    const oak = new Registry('oak', [], { compactAfter: 8 })
    const bills = 'bills' as TopicName
    oak.edit(put({}), bills)
    oak.edit(put({}))
    for (let i = 0; i < 12; i++) {
      oak.stored()
      oak.edit(patch({ replicas: i + 1 }))
    }
    oak.stored()
    const said = oak.said.filter((word) => word.startsWith('snapshot'))
    expect(said).toEqual(['snapshotBegun'])
    expect(oak.lastStates.map(({ topic }) => topic).toSorted()).toEqual(['bills', 'orders'])
    oak.stored()
    expect(oak.said.filter((word) => word.startsWith('snapshot'))).toEqual(['snapshotBegun', 'snapshotWritten'])
    const again = new Registry('elm', oak.lastStates)
    expect(configOf(again.topics.get(orders)).replicas).toBe(12)
  })

  test('is left alone while it is what others need', () => {
    const states = Array.from({ length: 20 }, (_, i) => i).flatMap((i) => {
      const oak = new Registry('oak')
      oak.use(`orders-${i}` as TopicName)
      return oak.lastStates
    })
    const oak = new Registry('oak', states, { ownStates: 20, compactAfter: 8 })
    oak.use(orders)
    oak.stored()
    expect(oak.said).toEqual(['orders exists'])
  })

  test('of a topic that others have configured since need not be said by who wrote of it first', () => {
    const oak = new Registry('oak', [], { compactAfter: 1 })
    const elm = new Registry('elm')
    oak.use(orders)
    oak.stored()
    elm.hear(oak.lastStates)
    elm.edit(patch({ replicas: 2, retention: {}, minAck: { type: 'local' } }))
    oak.hear(elm.lastStates)
    for (const topic of ['a', 'b', 'c', 'd', 'e', 'f'] as TopicName[]) {
      oak.use(topic)
      oak.stored()
      oak.edit(put({}), topic)
      oak.edit(patch({}), topic)
      oak.stored()
      oak.edit(patch({}), topic)
      oak.stored()
    }
    expect(oak.said).toContain('snapshotBegun')
    const restated = oak.writes.slice(-1).flatMap((text) => decodeTopics(text) ?? [])
    expect(restated.map(({ topic }) => topic)).not.toContain('orders')
  })
})

describe('a topic that is used', () => {
  test('is written down once, with the defaults', () => {
    const oak = new Registry('oak')
    oak.use(orders)
    oak.use(orders)
    oak.stored()
    oak.use(orders)
    expect(oak.writes.length).toBe(1)
    expect(configOf(oak.topics.get(orders))).toEqual({ replicas: 3, retention: {}, minAck: { type: 'local' } })
  })

  test('is not written down by who has read of it', () => {
    const oak = new Registry('oak')
    const elm = new Registry('elm')
    oak.use(orders)
    elm.hear(oak.lastStates)
    elm.use(orders)
    expect(elm.writes).toEqual([])
  })

  test('shares its record with a thousand others: one write is under way at a time', () => {
    const oak = new Registry('oak')
    for (let i = 0; i < 1_000; i++) oak.use(`orders-${i}` as TopicName)
    for (let stored = 0; stored < oak.writes.length; stored++) oak.stored()
    expect(oak.writes.length).toBeLessThan(5)
    expect(oak.topics.size).toBe(1_000)
  })

  test('has a place only while there is one; who is in stays', () => {
    const oak = new Registry('oak')
    for (let i = 0; i < limits.registeredTopicsMax; i++) oak.use(`orders-${i}` as TopicName)
    expect(oak.topics.admits(orders)).toBe(false)
    expect(oak.topics.admits('orders-7' as TopicName)).toBe(true)
    oak.edit(put({}))
    expect(oak.said).toEqual(['1 TOO_MANY_TOPICS'])
  })
})

test('what two peers ask for meanwhile is joined at both; a boot starts with what its disk says', () => {
  const oak = new Registry('oak')
  const elm = new Registry('elm')
  oak.edit(put({ replicas: 2, retention: { ageMs: 1_000 } }))
  elm.edit(put({ replicas: 4 }))
  for (const peer of [oak, elm]) peer.stored()
  const states = [...oak.lastStates, ...elm.lastStates]
  for (const peer of [oak, elm]) peer.hear(states)
  const config = { replicas: 4, retention: { ageMs: 1_000 }, minAck: { type: 'local' } }
  for (const { topics } of [oak, elm, new Registry('ash', states)]) expect(configOf(topics.get(orders))).toEqual(config)
})

test('an edit made while an earlier one is on its way replaces that one', () => {
  const oak = new Registry('oak')
  oak.edit(put({ replicas: 5 }))
  oak.edit(patch({ replicas: 2 }))
  oak.stored()
  oak.stored()
  expect(configOf(oak.topics.get(orders)).replicas).toBe(2)
  expect(oak.topics.get(orders).replicas.size).toBe(1)
})
