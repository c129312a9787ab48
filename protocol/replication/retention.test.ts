// Retention: which floors oak decides on, from what is on its own disk and from the clocks of all. Batches are of one record
// and 100 bytes each; the one that ends at offset 3 was made at second 3.
import { describe, expect, test } from 'vitest'
import { feedKeyOf } from '#protocol/log/feed'
import type { PeerId } from '#protocol/ids'
import type { Retention } from '#protocol/topic-config'
import type { ReplicationEffect } from './inputs.ts'
import {
  ash,
  batch,
  digest,
  elm,
  epochs,
  feedOf,
  hashAt,
  headAt,
  messages,
  Oak,
  oak,
  ofType,
  openedFeed,
  openingBatch,
  openingOf,
  orders,
  settledOf,
} from './test-oak.ts'

const ofElm = feedOf(elm)
const second = 1_000

const madeAt = (baseOffset: number) => ({ ...batch(baseOffset), hlcMs: second * (baseOffset + 1) })

class Keeper extends Oak {
  keep(retention: Retention) {
    return this.tell({ type: 'retentionChanged', topics: [{ topicId: orders, retention }] })
  }

  /** A minute later, with what of the disk is to be read for it. */
  look() {
    return [0, 1, 2].flatMap(() => {
      const effects = this.sweep(20_000)
      return [...effects, ...this.#measured(effects)]
    })
  }

  /** All clocks show this. */
  time(wallMs: number, peers: readonly PeerId[] = [elm, ash]) {
    this.tell({ type: 'clockRead', wallMs })
    for (const peer of peers) this.hear(peer, { type: 'clock', wallMs })
  }

  #measured(effects: readonly ReplicationEffect[]): readonly ReplicationEffect[] {
    return ofType(effects, 'measureFeed').flatMap(({ feed, position }) => {
      const { durable, holes } = this.machine.local.get(feedKeyOf(feed)) ?? { holes: [] }
      const end = holes.find(({ from }) => from > position)?.from ?? durable?.nextOffset ?? 0
      const batches = Array.from({ length: end - position }, (_, index) => madeAt(position + index))
      return this.tell({ type: 'feedMeasured', feed, position, batches })
    })
  }
}

/** The last one of each feed. */
function floorsOf(effects: readonly ReplicationEffect[]): readonly string[] {
  const floors = new Map<string, number>()
  for (const { change } of ofType(effects, 'changeFeed')) {
    if (change.type === 'floor')
      floors.set(`${change.feed.writer}.${change.feed.epoch.at(-1)}`, change.floor.nextOffset)
  }
  return [...floors].map(([feed, floor]) => `${feed} ${floor}`)
}

describe('by bytes and records', () => {
  test.each<[Retention, readonly string[]]>([
    [{ bytes: 300 }, ['elm.1 7']],
    [{ bytes: 301 }, ['elm.1 6']],
    [{ bytes: 1 }, ['elm.1 9']],
    [{ bytes: 1_000 }, []],
    [{ records: 4 }, ['elm.1 6']],
    [{ records: 1 }, ['elm.1 9']],
    [{ records: 10 }, []],
    [{ records: 4, bytes: 300 }, ['elm.1 7']],
    [{}, []],
  ])('%o of ten batches', (retention, floors) => {
    const peer = new Keeper([openedFeed(ofElm, 10)])
    peer.keep(retention)
    expect(floorsOf(peer.look())).toEqual(floors)
  })

  test('what a writer has published to later feeds counts, and the larger of two branches', () => {
    const predecessor = { epoch: epochs.first, ...headAt(10) }
    const third = '0000000000000003' as typeof epochs.first
    const goesOn = (epoch: typeof epochs.first) => ({ opening: { ...openingOf(elm, epoch), predecessor } })
    const later = openedFeed(feedOf(elm, epochs.second), 12, goesOn(epochs.second))
    const branch = openedFeed(feedOf(elm, third), 11, goesOn(third))
    const peer = new Keeper([openedFeed(ofElm, 10), later, branch])
    peer.keep({ records: 5 })
    expect(floorsOf(peer.look())).toEqual(['elm.1 7'])
    peer.keep({ bytes: 200 })
    expect(floorsOf(peer.look())).toEqual(['elm.1 10'])
  })

  test('what comes in needs no reading of the disk', () => {
    const peer = new Keeper()
    peer.keep({ records: 2 })
    peer.link(elm, 1)
    peer.receive(elm, ofElm, [openingBatch(openingOf(elm)), ...[0, 1, 2, 3].map(madeAt)])
    peer.tell({ type: 'rangesStored', runs: [{ feed: ofElm, head: headAt(4) }] })
    const effects = peer.look()
    expect(ofType(effects, 'measureFeed')).toEqual([])
    expect(floorsOf(effects)).toEqual(['elm.1 2'])
  })

  test.each<Retention>([{ records: 2 }, { bytes: 200 }])(
    '%o of a feed that grows faster than the disk is read for it (simulator, seed 5626)',
    (retention) => {
      const peer = new Keeper([openedFeed(ofElm, 10)])
      peer.keep(retention)
      peer.link(elm, 1)
      peer.receive(
        elm,
        ofElm,
        [11, 12, 13, 14].map((end) => madeAt(end - 1)),
      )
      peer.tell({ type: 'rangesStored', runs: [{ feed: ofElm, head: headAt(14) }] })
      // Nothing of it was read by then.
      expect(floorsOf(peer.sweep(20_000))).toEqual(['elm.1 12'])
    },
  )

  test('what a feed goes on from is let go of with it, measured or not (simulator, seed 5)', () => {
    const later = feedOf(elm, epochs.second)
    const opening = { ...openingOf(elm, epochs.second), predecessor: { epoch: epochs.first, ...headAt(10) } }
    const peer = new Keeper([openedFeed(ofElm, 10), openedFeed(later, 12, { opening })])
    peer.keep({ records: 2 })
    peer.link(elm, 1)
    peer.receive(
      elm,
      later,
      [13, 14, 15].map((end) => madeAt(end - 1)),
    )
    peer.tell({ type: 'rangesStored', runs: [{ feed: later, head: headAt(15) }] })
    expect(floorsOf(peer.sweep(20_000))).toEqual(['elm.2 13', 'elm.1 10'])
  })

  test('nothing goes that is not on this disk', () => {
    const peer = new Keeper()
    peer.keep({ bytes: 200 })
    peer.link(elm, 1)
    peer.receive(elm, ofElm, [openingBatch(openingOf(elm)), madeAt(0), madeAt(1)])
    peer.tell({ type: 'rangesStored', runs: [{ feed: ofElm, head: headAt(2) }] })
    peer.receive(elm, ofElm, [2, 3, 4, 5].map(madeAt))
    expect(floorsOf(peer.look())).toEqual(['elm.1 2'])
  })

  test('damage counts for nothing and stops nothing', () => {
    const peer = new Keeper([openedFeed(ofElm, 10, { holes: [{ from: 6, to: 8 }] })])
    peer.keep({ bytes: 300 })
    expect(floorsOf(peer.look())).toEqual(['elm.1 5'])
  })

  test('what is damaged up to the end, and stays so, goes as well (simulator, seed 1443)', () => {
    const peer = new Keeper([openedFeed(ofElm, 10, { holes: [{ from: 6, to: 10 }] })])
    peer.keep({ ageMs: 200 * second })
    expect(floorsOf(peer.look())).toEqual([])
    for (let seconds = 0; seconds < 180; seconds += 60) peer.look()
    expect(peer.machine.local.get(feedKeyOf(ofElm))).toMatchObject({ keptFrom: 10, holes: [] })
  })

  test('what was damaged when it was measured goes as well, once it is here again', () => {
    const peer = new Keeper([openedFeed(ofElm, 10, { holes: [{ from: 2, to: 10 }] })])
    peer.keep({ records: 3 })
    expect(floorsOf(peer.look())).toEqual(['elm.1 2'])
    mendAll(peer)
    expect(floorsOf(peer.look())).toEqual(['elm.1 7'])
  })
})

/** Elm has what is damaged here. */
function mendAll(peer: Keeper): void {
  const { from, to } = peer.machine.local.get(feedKeyOf(ofElm))?.holes[0] ?? { from: 0, to: 0 }
  const range = { from, to }
  const ends = { before: hashAt(from), after: hashAt(to) }
  peer.link(elm, 1, [digest(ofElm, 10)])
  const [want] = messages(peer.tell({ type: 'chainFound', feed: ofElm, range, ...ends }), 'want')
  const batches = Array.from({ length: to - from }, (_, index) => madeAt(from + index))
  peer.receive(elm, ofElm, batches, { ref: want?.message.ref ?? 0 })
  peer.tell({ type: 'holeFilled', feed: ofElm, piece: range, credit: { link: 1, bytes: 100 } })
}

describe('by age', () => {
  test('goes what is older by the clocks of most members', () => {
    const peer = new Keeper([openedFeed(ofElm, 10)])
    peer.keep({ ageMs: 200 * second })
    peer.look()
    peer.time(1e12)
    expect(floorsOf(peer.look())).toEqual([])
    peer.link(elm, 1)
    peer.link(ash, 2)
    peer.time(145 * second)
    // A minute has passed since.
    expect(floorsOf(peer.look())).toEqual(['elm.1 5'])
  })

  test('no clock of one of three lets go of anything', () => {
    const peer = new Keeper([openedFeed(ofElm, 10)])
    peer.keep({ ageMs: 1_000 * second })
    peer.link(elm, 1)
    peer.link(ash, 2)
    peer.time(5 * second)
    for (const wrong of [elm, ash]) {
      peer.time(5 * second)
      peer.hear(wrong, { type: 'clock', wallMs: 1e12 })
      expect(floorsOf(peer.look())).toEqual([])
    }
    peer.time(5 * second)
    peer.tell({ type: 'clockRead', wallMs: 1e12 })
    expect(floorsOf(peer.look())).toEqual([])
  })

  test('a peer that has not met its mesh goes by no clock', () => {
    const peer = new Keeper([openedFeed(ofElm, 10)])
    peer.register([oak], { merged: false })
    peer.keep({ ageMs: 100 * second })
    peer.time(1e12)
    expect(floorsOf(peer.look())).toEqual([])
  })

  test('what has been here for so long goes, whatever it is dated, and without word of any clock', () => {
    const peer = new Keeper([openedFeed(ofElm, 10)])
    peer.keep({ ageMs: 200 * second })
    expect(floorsOf([...peer.look(), ...peer.look(), ...peer.look()])).toEqual([])
    expect(floorsOf(peer.look())).toEqual(['elm.1 10'])
  })
})

test('clocks are told on each link, and once a minute', () => {
  const peer = new Keeper()
  const asked = () => ofType(peer.sweep(1), 'readClock').length
  expect(asked()).toBe(1)
  expect(asked()).toBe(0)
  peer.tell({ type: 'clockRead', wallMs: 5_000.7 })
  const clock = { type: 'clock', wallMs: 5_000 } as const
  expect(messages(peer.tell({ type: 'linkUp', peer: elm, link: 1 }), 'clock')).toEqual([{ to: elm, message: clock }])
  expect(messages(peer.tell({ type: 'clockRead', wallMs: 9_000 }), 'clock')).toHaveLength(1)
  peer.nowMs += 60_000
  expect(asked()).toBe(1)
})

test('who goes on from a floor is no copy of what lies below it', () => {
  const peer = new Oak()
  peer.link(elm, 1)
  peer.link(ash, 2)
  for (const end of [0, 1, 2]) peer.write(end, true)
  peer.publish({ ref: 1, endOffset: 1 })
  peer.publish({ ref: 2, endOffset: 2 })
  peer.hear(elm, { type: 'digest', feeds: [digest(feedOf(oak), 2)] })
  const jumped = { ...digest(feedOf(oak), 2), floor: 1, floorHash: hashAt(1), keptFrom: 1 }
  const settled = settledOf(peer.hear(ash, { type: 'digest', feeds: [jumped] }))
  expect(settled).toEqual([
    { ref: 1, reached: false, peers: [oak, elm] },
    { ref: 2, reached: true, peers: [oak, elm, ash] },
  ])
})

test('what a deleted topic has left is no matter of retention', () => {
  const peer = new Keeper([openedFeed(ofElm, 10)])
  peer.keep({ records: 1 })
  peer.keep({})
  expect(floorsOf(peer.look())).toEqual([])
})
