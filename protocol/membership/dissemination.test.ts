import { expect, test } from 'vitest'
import type { PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { Dissemination } from './dissemination.ts'
import type { MemberState } from './messages.ts'
import { peerOf, rumor } from './test-mesh.ts'

// Goal: news is told a bounded number of times, the least told first. Method: a queue over beliefs that we set by hand.

const [oak, elm] = [peerOf('oak'), peerOf('elm')]

const queueOver = (states: Map<string, MemberState>, sendsMax = 2): Dissemination =>
  new Dissemination({ describe: (peer) => rumor(peer, states.get(peer) ?? 'alive', 1, oak), sendsMax: () => sendsMax })

const aboutOf = (queue: Dissemination): string[] => queue.take().map(({ peer }) => peer)

test('a rumor rides on as many messages as the limit says, and is then forgotten', () => {
  const queue = queueOver(new Map(), 3)
  queue.spread(elm)
  expect([aboutOf(queue), aboutOf(queue), aboutOf(queue), aboutOf(queue)]).toEqual([['elm'], ['elm'], ['elm'], []])
  expect(queue.isEmpty).toBe(true)
})

test('what has been told least goes first, and of equals the newest', () => {
  const queue = queueOver(new Map(), 9)
  queue.spread(elm)
  queue.take()
  queue.spread(oak)
  queue.spread(peerOf('ash'))
  expect(aboutOf(queue)).toEqual(['ash', 'oak', 'elm'])
})

test('newer news about a member replaces the older and is told as often as any', () => {
  const states = new Map<string, MemberState>([['elm', 'suspect']])
  const queue = queueOver(states)
  queue.spread(elm)
  expect(queue.take()[0]?.state).toBe('suspect')
  states.set('elm', 'dead')
  queue.spread(elm)
  expect(queue.snapshot()).toEqual([{ peer: elm, sendsLeft: 2 }])
  expect(queue.take().map(({ state }) => state)).toEqual(['dead'])
})

test('a message carries no more updates than there is room for, and the rest goes on the next', () => {
  const queue = queueOver(new Map(), 1)
  for (let i = 0; i < 6; i++) queue.spread(peerOf(`peer${i}`))
  // Each takes some 200 characters.
  expect(aboutOf(queue)).toEqual(['peer5', 'peer4', 'peer3'])
  expect(aboutOf(queue)).toEqual(['peer2', 'peer1', 'peer0'])
})

test('a suspicion waits until the answers to others have been told three times', () => {
  const queue = queueOver(new Map(), 9)
  const [ash, fir, yew, bay] = ['ash', 'fir', 'yew', 'bay'].map(peerOf) as [PeerId, PeerId, PeerId, PeerId]
  for (const peer of [ash, fir, yew, bay]) queue.spread(peer)
  queue.spread(oak, { isSuspicion: true })
  const told = Array.from({ length: 4 }, () => aboutOf(queue))
  expect(told.map((peers) => peers.includes(oak))).toEqual([false, false, false, true])
})

test('only so many messages of an interval carry updates, gossip aside', () => {
  const queue = queueOver(new Map(), 9)
  queue.spread(elm)
  expect([queue.ride().length, queue.ride().length, queue.take().length]).toEqual([1, 0, 1])
  queue.nextInterval()
  expect([queue.ride().length, queue.ride().length]).toEqual([1, 0])
})

test('an update that is longer than there is room for goes alone', () => {
  const reason = 'x'.repeat(limits.updatesLengthPerMessageMax)
  const describe = (peer: PeerId) => ({ ...rumor(peer, 'dead', 1, oak), reason })
  const queue = new Dissemination({ describe, sendsMax: () => 1 })
  for (const peer of [oak, elm]) queue.spread(peer)
  expect([aboutOf(queue), aboutOf(queue), aboutOf(queue)]).toEqual([['elm'], ['oak'], []])
})

test('facts that are news are told as often as the news, whatever else is believed meanwhile', () => {
  const told: boolean[] = []
  const describe = (peer: PeerId, { facts }: { facts: boolean }) => {
    told.push(facts)
    return rumor(peer, 'alive', 1, oak)
  }
  const queue = new Dissemination({ describe, sendsMax: () => 2 })
  queue.spread(elm, { facts: true })
  queue.take()
  queue.spread(elm)
  for (let n = 0; n < 3; n++) queue.take()
  queue.spread(elm)
  queue.take()
  expect(told).toEqual([true, true, true, false])
})
