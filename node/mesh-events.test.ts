// The ring of events, and what is said of each fact.
import { expect, test } from 'vitest'
import type { Epoch, PeerId, TopicId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import type { HealView } from '#protocol/views'
import type { MemberChange } from './driver.ts'
import * as words from './event-words.ts'
import { MeshEvents } from './mesh-events.ts'
import { still } from './test-broker.ts'

const [oak, elm, ash] = ['oak', 'elm', 'ash'] as PeerId[] as [PeerId, PeerId, PeerId]
const nameOf = (peer: PeerId): string => peer.toUpperCase()

test('the last events are kept, and each is found by its id', () => {
  const events = new MeshEvents('00000000000000aa', still)
  expect([events.start, events.end, events.read(0, 10)]).toEqual([0, 0, []])
  const heard: number[] = []
  const end = events.onEvent(() => heard.push(events.end))
  const count = limits.meshEventsMax + 3
  for (let n = 1; n <= count; n++) events.add('left', { text: `${n}` })
  end()
  events.add('left', { text: 'last' })
  expect(heard).toHaveLength(count)
  expect([events.start, events.end]).toEqual([4, count + 1])
  expect(events.read(0, 2).map(({ id, text }) => [id, text])).toEqual([
    ['00000000000000aa.5', '5'],
    ['00000000000000aa.6', '6'],
  ])
  expect(events.read(count, 10)).toMatchObject([{ type: 'left', text: 'last', time: '2023-11-14T22:13:20.000Z' }])
  expect(events.positionOf('00000000000000aa.7')).toBe(7)
  for (const id of ['00000000000000bb.7', `00000000000000aa.${count + 2}`, '00000000000000aa', 'x.y', '']) {
    expect(events.positionOf(id)).toBeUndefined()
  }
})

const changed = (from: MemberChange['from'], to: MemberChange['to'], reason: string): MemberChange => {
  return { type: 'memberChanged', peer: ash, from, to, incarnation: 4, by: elm, reason }
}
const feed = { topicId: 'aa'.repeat(16) as TopicId, writer: oak, epoch: 'bb'.repeat(8) as Epoch }
const range = { from: 3, to: 9 }
const heal = { received: { records: 4 }, taken: { records: 12 }, duplicates: 1 } as HealView
const theirs = [{ peer: elm, name: 'ELM', taken: 12, left: 0 }]
const deps = { nameOf, healOf: () => ({ ...heal, ours: [], theirs }), before: new Set([ash]) }
const status = { type: 'statusChanged', peer: ash, why: 'heard' } as const

test.each<[words.Told, string, string]>([
  [words.memberTold(changed('unknown', 'alive', 'started'), nameOf), 'joined', 'ASH joined, alive: started'],
  [
    words.memberTold(changed('alive', 'suspect', 'no answer to 3 indirect probes'), nameOf),
    'suspected',
    'ASH suspected by ELM: no answer to 3 indirect probes',
  ],
  [words.memberTold(changed('suspect', 'dead', 'silent'), nameOf), 'dead', 'ASH dead, says ELM: silent'],
  [words.memberTold(changed('suspect', 'alive', 'refuted'), nameOf), 'refuted', 'ASH is alive: refuted'],
  [words.memberTold(changed('dead', 'alive', 'refuted'), nameOf), 'returned', 'ASH is back: refuted'],
  [words.memberTold(changed('alive', 'left', 'left'), nameOf), 'left', 'ASH left'],
  [
    words.statusTold({ ...status, status: { type: 'leaving', generation: 0 } }, nameOf),
    'leaving',
    'ASH is to go, and hands over what it holds',
  ],
  [
    words.statusTold({ ...status, status: { type: 'forgotten', generation: 0 } }, nameOf),
    'forgotten',
    'ASH does not belong any more',
  ],
  [words.statusTold({ ...status, status: { type: 'member', generation: 1 } }, nameOf), 'admitted', 'ASH belongs again'],
  [words.linkTold({ type: 'linkOpened', peer: ash }, nameOf), 'link-opened', 'link to ASH is up'],
  [
    words.linkTold({ type: 'linkClosed', peer: ash, cause: 'closed', reason: 'this peer stops' }, nameOf),
    'link-closed',
    'link to ASH is down: this peer stops',
  ],
  [
    words.strangerTold({ reason: 'it does not know the secret', address: '/ip4/10.0.0.9', connections: 3 }),
    'stranger-refused',
    'stranger at /ip4/10.0.0.9 refused: it does not know the secret, the last of 3 connections',
  ],
  [
    words.partitionTold({ type: 'partitionChanged', reachable: [oak], known: [oak, elm, ash] }, deps),
    'partition',
    'split: 1 of 3 can be reached; lost ELM',
  ],
  [
    words.partitionTold({ type: 'partitionChanged', reachable: [oak, ash], known: [oak, elm, ash] }, deps),
    'partition',
    'split: 2 of 3 can be reached; lost ELM; back ASH',
  ],
  [
    words.partitionTold({ type: 'partitionChanged', reachable: [oak], known: [oak, ash] }, deps),
    'partition',
    'split: 1 of 2 can be reached',
  ],
  [
    words.partitionTold({ type: 'partitionHealed', apartMs: 30_040, back: [elm, ash] }, deps),
    'healed',
    'healed after 30.0 s: ASH, ELM back',
  ],
  [
    words.partitionTold({ type: 'sidesMerged', heal: {} as never }, deps),
    'merged',
    'merged with ELM: 4 records received, 1 of them known here already, 12 taken',
  ],
  [
    words.damageTold({ type: 'feedDamaged', feed, range }, nameOf),
    'damaged',
    'damage on disk: [3, 9) of oak.bbbbbbbbbbbbbbbb',
  ],
  [
    words.damageTold({ type: 'feedRepaired', feed, range, from: elm }, nameOf),
    'repaired',
    'repaired from ELM: [3, 9) of oak.bbbbbbbbbbbbbbbb',
  ],
  [words.diskTold(true), 'disk-full', 'disk nearly full: publishes are refused'],
  [words.diskTold(false), 'disk-has-room', 'disk has room again'],
  [
    words.doubleTold(['10.0.0.9:7400']),
    'double-identity',
    'another process has the identity of this peer, at 10.0.0.9:7400',
  ],
  [words.badFrameTold(ash, 'invalidJson', nameOf), 'bad-frame', 'frame not understood: invalidJson'],
])('%j', ([type, { text }], expectedType, expectedText) => {
  expect([type, text]).toEqual([expectedType, expectedText])
})

test('an event of a split has a bound, however many are lost, come back or merge at once', () => {
  const others = Array.from({ length: 999 }, (_, i) => `12D3KooW${'x'.repeat(44)}${i}` as PeerId)
  const known = [oak, ...others]
  const sides = { ours: others.map((peer) => ({ peer, name: peer })), theirs: [] }
  const many = { ...deps, before: new Set<PeerId>(), healOf: () => ({ ...heal, ...sides, theirs: theirsOf(others) }) }
  const all = [
    words.partitionTold({ type: 'partitionChanged', reachable: [oak], known }, many),
    words.partitionTold(
      { type: 'partitionChanged', reachable: known.slice(1), known },
      { ...many, before: new Set(known) },
    ),
    words.partitionTold({ type: 'partitionHealed', apartMs: 1, back: others }, many),
    words.partitionTold({ type: 'sidesMerged', heal: {} as never }, many),
  ]
  for (const [, fields] of all) expect(JSON.stringify(fields).length).toBeLessThan(8_192)
  expect(all[0]?.[1]).toMatchObject({ reachable: 1, known: 1_000, away: 999, lostMore: 983, back: [] })
  expect(all[0]?.[1].text).toMatch(/ and 983 more$/)
  expect(all[3]?.[1]).toMatchObject({ ours: 999, theirs: 999 })
})

const theirsOf = (peers: readonly PeerId[]) => peers.map((peer) => ({ peer, name: peer, taken: 12, left: 0 }))
