// Forgetting: which finished feeds oak lets go of once retention has emptied them, and what it makes of those that others have
// forgotten, or still hold. Fir has written three boots: up to offset 3, to 5 and to 9.
import { describe, expect, test } from 'vitest'
import type { Epoch, PeerId } from '#protocol/ids'
import { feedKeyOf, NOTHING } from '#protocol/log/feed'
import type { OpenedFeed, ReplicationEffect } from './inputs.ts'
import type { FeedDigest } from './messages.ts'
import { topicHeads } from './status.ts'
import {
  ash,
  batch,
  digest,
  digestDue,
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
} from './test-oak.ts'

const fir = 'fir' as PeerId
const third = '0000000000000003' as Epoch
const [first, second, last] = [epochs.first, epochs.second, third].map((epoch) => feedOf(fir, epoch)) as [
  ReturnType<typeof feedOf>,
  ReturnType<typeof feedOf>,
  ReturnType<typeof feedOf>,
]
const link = (epoch: Epoch, nextOffset: number) => ({ epoch, ...headAt(nextOffset) })
const secondOpening = { ...openingOf(fir, epochs.second), predecessor: link(epochs.first, 3) }
const lastOpening = { ...openingOf(fir, third), predecessor: link(epochs.second, 5) }

const emptied = (end: number) => ({ floor: headAt(end), keptFrom: end })
const held = {
  first: openedFeed(first, 3, emptied(3)),
  second: openedFeed(second, 5, { opening: secondOpening }),
  last: openedFeed(last, 9, { opening: lastOpening }),
}
/** What others tell of them. */
const told = {
  first: { ...digest(first, 3), floor: 3, floorHash: hashAt(3), keptFrom: 3 },
  second: { ...digest(second, 5), floor: 3, keptFrom: 3 },
  last: { ...digest(last, 9), floor: 5, keptFrom: 5 },
}
const lookMs = 10_000

function oakWith(feeds: readonly OpenedFeed[], others: readonly FeedDigest[] = []): Oak {
  const peer = new Oak(feeds)
  peer.link(elm, 1, others)
  peer.link(ash, 2, others)
  return peer
}

const isOfAll = ({ peers }: Extract<ReplicationEffect, { type: 'linksNeeded' }>): boolean => peers.size === 2
const changes = (effects: readonly ReplicationEffect[]) => ofType(effects, 'changeFeed').map(({ change }) => change)
const forgotten = (effects: readonly ReplicationEffect[]) =>
  changes(effects).flatMap((change) => (change.type === 'forget' ? [change.feed] : []))
const kept = (peer: Oak) =>
  [...peer.machine.local.all()].map(({ feed, rooted }) => `${feed.epoch.at(-1)}${rooted ? ' rooted' : ''}`)
const wanted = (effects: readonly ReplicationEffect[]) => messages(effects, 'want').map(({ message }) => message)

describe('a finished feed that is empty', () => {
  test('is forgotten when nobody has anything of it, and what goes on from it is rooted in the same write', () => {
    const peer = oakWith([held.first, held.second], [told.first, told.second])
    expect(changes(peer.sweep(lookMs))).toEqual([{ type: 'forget', feed: first, rooted: [second] }])
    expect(kept(peer)).toEqual(['2 rooted'])
    expect(peer.machine.forgetting.count).toBe(1)
    const [news] = messages(peer.tell(digestDue), 'digest')
    expect(news?.message).toMatchObject({ gone: [first], feeds: [{ feed: second, rooted: true }] })
    expect(changes(peer.sweep(lookMs))).toEqual([])
  })

  test('is forgotten with all that follow it and are empty, too', () => {
    const second5 = openedFeed(second, 5, { opening: secondOpening, ...emptied(5) })
    const peer = oakWith([held.last, second5, held.first], [told.last])
    expect(forgotten(peer.sweep(lookMs))).toEqual([first, second])
    expect(kept(peer)).toEqual(['3 rooted'])
  })

  test('stays while something before it does', () => {
    const whole = openedFeed(first, 3)
    const second5 = openedFeed(second, 5, { opening: secondOpening, ...emptied(5) })
    const peer = oakWith([whole, second5, held.last], [told.last])
    expect(forgotten(peer.sweep(lookMs))).toEqual([])
  })

  test.each<[string, (peer: Oak) => void]>([
    [
      'somebody has records of it',
      (peer) => peer.hear(elm, { type: 'digest', feeds: [{ ...told.first, floor: 2, floorHash: hashAt(2) }] }),
    ],
    ['somebody is not linked', (peer) => peer.tell({ type: 'linkDown', peer: ash })],
    ['somebody belongs to the mesh who has never been linked', (peer) => peer.register([oak, elm, ash, fir])],
    ['it is not known who belongs to the mesh', (peer) => peer.register([oak, elm, ash], { merged: false })],
    [
      'somebody has not told all that it holds',
      (peer) => {
        peer.tell({ type: 'linkDown', peer: elm })
        peer.tell({ type: 'linkUp', peer: elm, link: 3 })
      },
    ],
    ['its writer is there and still runs that boot', (peer) => peer.link(fir, 3, [told.first], epochs.first)],
    [
      'a client waits for copies of it',
      (peer) => {
        const publish = { ref: 1, feed: first, endOffset: 3, level: { type: 'all' }, deadlineMs: 1e6 } as const
        peer.tell({ type: 'publishAppended', publish: { ...publish, level: { type: 'count', count: 9 } } })
      },
    ],
  ])('stays while %s', (_, happens) => {
    const peer = oakWith([held.first, held.second], [told.first, told.second])
    happens(peer)
    expect(forgotten(peer.sweep(lookMs))).toEqual([])
    expect(kept(peer)).toEqual(['1', '2'])
  })

  test('stays when nothing goes on from it, and while what does is not on disk', () => {
    const peer = oakWith([held.first])
    expect(forgotten(peer.sweep(lookMs))).toEqual([])
    peer.receive(elm, second, [openingBatch(secondOpening)])
    expect(forgotten(peer.sweep(lookMs))).toEqual([])
    peer.tell({ type: 'rangesStored', runs: [{ feed: second, head: headAt(3) }] })
    expect(forgotten(peer.sweep(lookMs))).toEqual([first])
    expect(forgotten(peer.sweep(lookMs))).toEqual([])
  })

  test('stays while what goes on from it waits for more of it', () => {
    const further = { ...secondOpening, epoch: third, predecessor: link(epochs.first, 4) }
    const peer = oakWith([held.first, held.second], [told.first, told.second])
    peer.receive(elm, last, [{ ...openingBatch(further) }])
    expect(forgotten(peer.sweep(lookMs))).toEqual([])
  })

  test('calls everybody where links are few: at the first look that finds it, and not again for six', () => {
    const peer = new Oak([held.first], { linksMax: 1 })
    for (const other of [elm, ash]) peer.tell({ type: 'presenceChanged', peer: other, present: true })
    // What was needed at one look is not needed any more at the next.
    const look = () => [...peer.sweep(lookMs), ...Array.from({ length: 10 }, () => peer.sweep(0)).flat()]
    const looks = (count: number): readonly number[] =>
      Array.from({ length: count }, () => ofType(look(), 'linksNeeded').filter(isOfAll).length)
    expect(looks(2)).toEqual([0, 0])
    peer.link(elm, 1, [told.first, told.second])
    peer.receive(elm, second, [openingBatch(secondOpening), batch(3), batch(4)])
    peer.tell({ type: 'rangesStored', runs: [{ feed: second, head: headAt(5) }] })
    peer.tell({ type: 'linkDown', peer: elm })
    expect(looks(8)).toEqual([1, 0, 0, 0, 0, 0, 1, 0])
  })

  test('goes while everybody is called, also when somebody is linked late', () => {
    const peer = new Oak([held.first, held.second], { linksMax: 1 })
    for (const other of [elm, ash]) peer.tell({ type: 'presenceChanged', peer: other, present: true })
    expect(ofType(peer.sweep(lookMs), 'linksNeeded').filter(isOfAll)).toHaveLength(1)
    peer.link(elm, 1, [told.first, told.second])
    expect(forgotten(peer.sweep(3_000))).toEqual([])
    peer.link(ash, 2, [told.first, told.second])
    expect(forgotten(peer.sweep(3_000))).toEqual([first])
  })

  test('is kept by its own writer until that has gone on from its end', () => {
    const mine = openedFeed(feedOf(oak, epochs.second), 3, emptied(3))
    const goneOn = (nextOffset: number) => {
      const opening = { ...openingOf(oak, third), predecessor: link(epochs.second, nextOffset) }
      return openedFeed(feedOf(oak, third), 5, { opening })
    }
    expect(forgotten(oakWith([mine, goneOn(2)]).sweep(lookMs))).toEqual([])
    expect(forgotten(oakWith([mine, goneOn(3)]).sweep(lookMs))).toEqual([mine.feed])
  })

  test('of this boot is never forgotten', () => {
    const peer = oakWith([])
    peer.write(0, true)
    expect(forgotten(peer.sweep(lookMs))).toEqual([])
  })

  test('of others is forgotten without a successor by who need not keep it', () => {
    const peer = oakWith([held.first])
    peer.tell({ type: 'replicasChanged', topics: [{ topicId: orders, replicas: 1 }] })
    expect(peer.machine.homes.isOurs(orders)).toBe(false)
    expect(changes(peer.sweep(lookMs))).toEqual([{ type: 'forget', feed: first, rooted: [] }])
  })

  test('is as good as there for a status that compares what all hold', () => {
    const peer = oakWith([held.first, held.second], [told.first, told.second])
    peer.sweep(lookMs)
    expect(topicHeads(peer.machine, oak, orders).converged).toBe(true)
  })
})

describe('of a feed that was forgotten', () => {
  const rooted = openedFeed(second, 5, { opening: secondOpening, rooted: true })

  test('nothing is asked for while nothing of it is left anywhere', () => {
    const peer = oakWith([rooted])
    expect(wanted(peer.hear(elm, { type: 'digest', feeds: [told.first] }))).toEqual([])
  })

  test('records are wanted like any others, from where its successor goes on', () => {
    const peer = oakWith([rooted])
    const back = peer.hear(elm, { type: 'digest', feeds: [digest(first, 4)] })
    expect(wanted(back)).toMatchObject([{ feed: first, position: NOTHING }])
    peer.receive(elm, first, [openingBatch(openingOf(fir))], { ref: wanted(back)[0]?.ref ?? 0 })
    const stored = peer.tell({ type: 'rangesStored', runs: [{ feed: first, head: headAt(0) }] })
    expect(changes(stored)).toEqual([{ type: 'floor', feed: first, floor: headAt(3) }])
    expect(peer.machine.local.get(feedKeyOf(first))?.appended).toEqual(headAt(3))
  })

  test('nothing is left to wait for: it is asked for when something goes on from it that nobody calls rooted', () => {
    const branch = { ...openingOf(fir, third), predecessor: link(epochs.first, 3) }
    const peer = oakWith([rooted], [told.first])
    expect(wanted(peer.receive(elm, last, [openingBatch(branch)]))).toMatchObject([{ feed: first }])
  })
})

describe('a feed that others call rooted', () => {
  const isRooted = { ...told.second, rooted: true } as const

  test('is taken without its predecessor, and rooted here, in one write', () => {
    const peer = oakWith([], [isRooted])
    const taken = peer.receive(elm, second, [openingBatch(secondOpening), batch(3)])
    expect(ofType(taken, 'storeReceived')).toHaveLength(1)
    expect(changes(taken)).toEqual([{ type: 'forget', feed: first, rooted: [second] }])
    expect(kept(peer)).toEqual(['2 rooted'])
  })

  test('does not wait any more for what it waited for', () => {
    const peer = oakWith([], [told.second])
    const opening = [openingBatch(secondOpening)]
    expect(ofType(peer.receive(elm, second, opening), 'storeReceived')).toEqual([])
    expect(wanted(peer.sweep(lookMs))).toEqual([])
    expect(wanted(peer.hear(ash, { type: 'digest', feeds: [isRooted] }))).toMatchObject([{ feed: second }])
  })

  test('is rooted here, too, when its predecessor is not here; readers look again', () => {
    const peer = oakWith([openedFeed(second, 5, { opening: secondOpening })])
    const heard = peer.hear(elm, { type: 'digest', feeds: [isRooted] })
    expect(changes(heard)).toEqual([{ type: 'forget', feed: first, rooted: [second] }])
    expect(ofType(heard, 'topicChanged')).toHaveLength(1)
    expect(changes(peer.hear(ash, { type: 'digest', feeds: [isRooted] }))).toEqual([])
  })

  test('raises the floor of the predecessor that is here to where it goes on, and no further', () => {
    const peer = oakWith([openedFeed(first, 4), held.second])
    const heard = peer.hear(elm, { type: 'digest', feeds: [isRooted] })
    expect(changes(heard)).toEqual([{ type: 'floor', feed: first, floor: headAt(3) }])
    expect(kept(peer)).toEqual(['1', '2'])
  })

  test('takes along a predecessor that is behind', () => {
    const peer = oakWith([openedFeed(first, 2)], [isRooted])
    const taken = peer.receive(elm, second, [openingBatch(secondOpening)])
    expect(changes(taken)).toEqual([{ type: 'floor', feed: first, floor: headAt(3) }])
    expect(ofType(taken, 'storeReceived')).toHaveLength(1)
    expect(kept(peer)).toEqual(['1', '2'])
  })
})
