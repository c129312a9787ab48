// Goal: a retry waits for copies of the feed that has its original, whoever wrote that. Method: oak holds a feed of elm; a
// retry at oak waits for it while ash and elm tell what they hold.
import { expect, test } from 'vitest'
import { ash, batch, digest, elm, epochs, feedOf, headAt, Oak } from './test-oak.ts'
import { hashAt, oak as oakId, openingBatch, openingOf, settledOf } from './test-oak.ts'

const ofElm = feedOf(elm)
const batchesTo = (end: number) => [
  openingBatch(openingOf(elm)),
  ...Array.from({ length: end }, (_, offset) => batch(offset)),
]

/** Oak with elm's feed up to `end`, on disk up to `durable`. */
function oakWith(end: number, durable = end): Oak {
  const oak = new Oak()
  oak.link(elm, 1, [digest(ofElm, end)])
  oak.receive(elm, ofElm, batchesTo(end))
  oak.tell({ type: 'rangesStored', runs: [{ feed: ofElm, head: headAt(durable) }] })
  return oak
}

const retry = { feed: ofElm, endOffset: 3 }

test('everybody who is known to hold it counts, from the start', () => {
  const oak = oakWith(5)
  oak.link(ash, 2, [digest(ofElm, 5)])
  expect(settledOf(oak.publish(retry))).toEqual([{ ref: 1, reached: true, peers: ['oak', 'elm', 'ash'] }])
})

test('it waits for a copy that is missing, and for this peer’s own disk first of all', () => {
  const oak = oakWith(5, 2)
  oak.link(ash, 2, [digest(ofElm, 1)])
  expect(settledOf(oak.publish({ ...retry, level: { type: 'local' } }))).toEqual([])
  const stored = oak.tell({ type: 'rangesStored', runs: [{ feed: ofElm, head: headAt(5) }] })
  expect(settledOf(stored)).toEqual([{ ref: 1, reached: true, peers: ['oak', 'elm'] }])
  expect(settledOf(oak.publish({ ...retry, ref: 2 }))).toEqual([])
  const told = oak.hear(ash, { type: 'digest', feeds: [digest(ofElm, 5)] })
  expect(settledOf(told)).toEqual([{ ref: 2, reached: true, peers: ['oak', 'elm', 'ash'] }])
})

test('a head that is not on the chain as it is here does not count', () => {
  const oak = oakWith(5)
  oak.link(ash, 2, [{ ...digest(ofElm, 5), hash: hashAt(77) }])
  expect(settledOf(oak.publish(retry))).toEqual([])
  expect(oak.machine.anomalies.foreignChains).toBe(1)
})

test('one beyond ours counts as soon as our chain gets there', () => {
  const oak = oakWith(5)
  oak.link(ash, 2, [digest(ofElm, 7)])
  expect(settledOf(oak.publish(retry))).toEqual([])
  const received = oak.receive(elm, ofElm, [batch(5), batch(6)])
  expect(settledOf(received)).toEqual([{ ref: 1, reached: true, peers: ['oak', 'elm', 'ash'] }])
})

test('what was told over an earlier link does not count before it is told to hold', () => {
  const oak = oakWith(5)
  oak.link(ash, 2, [digest(ofElm, 5)])
  oak.tell({ type: 'linkDown', peer: ash })
  oak.tell({ type: 'linkUp', peer: ash, link: 3 })
  expect(settledOf(oak.publish(retry))).toEqual([])
  const same = oak.hear(ash, {
    type: 'summary',
    epoch: epochs.first,
    root: oak.machine.neighbors.get(ash)?.remembered.root() ?? '',
  })
  expect(settledOf(same)).toEqual([{ ref: 1, reached: true, peers: ['oak', 'elm', 'ash'] }])
})

test('one that comes later and waits for less is not kept waiting by the others', () => {
  const oak = new Oak()
  for (const [number, peer] of [elm, ash].entries()) oak.link(peer, number + 1)
  for (let end = 0; end <= 5; end++) oak.write(end, true)
  oak.publish({ ref: 1, endOffset: 5 })
  oak.publish({ ref: 2, endOffset: 3 })
  oak.hear(elm, { type: 'digest', feeds: [digest(feedOf(oakId), 4)] })
  const told = oak.hear(ash, { type: 'digest', feeds: [digest(feedOf(oakId), 4)] })
  expect(settledOf(told)).toEqual([{ ref: 2, reached: true, peers: ['oak', 'elm', 'ash'] }])
})
