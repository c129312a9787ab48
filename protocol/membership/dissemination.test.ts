import { expect, test } from 'vitest'
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

test('a message carries no more updates than its bound, and the rest goes on the next', () => {
  const queue = queueOver(new Map(), 1)
  for (let i = 0; i < limits.updatesPerMessageMax + 5; i++) queue.spread(peerOf(`peer${i}`))
  expect(aboutOf(queue)).toHaveLength(limits.updatesPerMessageMax)
  expect(aboutOf(queue)).toHaveLength(5)
})
