// A table of ailments: what the members say, and what is found.
import { expect, test } from 'vitest'
import type { GossipView, LinkView, MemberView, MeshEvent, SelfNowView } from '#protocol/views'
import { type Examined, findingsOf, type Said } from './checkup.ts'

const member = (name: string, more: Partial<MemberView> = {}): MemberView => ({
  id: `id-${name}`,
  name,
  self: false,
  state: 'alive',
  status: 'member',
  incarnation: 1,
  sinceMs: 0,
  http: `http://${name}`,
  addresses: [`${name}:7400`],
  zone: '',
  linked: true,
  ...more,
})

const names = ['oak', 'elm', 'ash']

function healthy(name: string, said: Partial<Said> = {}): Examined {
  const all = names.map((other) => member(other, { self: other === name }))
  return {
    member: member(name),
    said: {
      self: { version: '1', now: '2026-05-01T10:20:00.000Z' } as SelfNowView,
      clock: { aheadMs: 0, offByMs: 5 },
      members: all,
      forgotten: [],
      links: [],
      double: undefined,
      totals: { diskFull: false, damagedRecords: 0, lostRecords: 0 } as Said['totals'],
      strangers: [],
      ...said,
    },
  }
}

const withOak = (said: Partial<Said>): readonly Examined[] => [healthy('oak', said), healthy('elm'), healthy('ash')]
const seen = (more: Partial<MemberView>) => [member('oak', { self: true }), member('elm', more), member('ash')]
const link = (more: Partial<LinkView>): LinkView => ({
  peer: 'id-elm',
  name: 'elm',
  state: 'down',
  sinceMs: 0,
  creditIn: 0,
  creditOut: 0,
  dialAttempts: 3,
  ...more,
})
const gib = 1024 ** 3
const disk = (freeGib: number, full = false) => {
  return {
    self: { version: '1', disk: { totalBytes: 10 * gib, freeBytes: freeGib * gib, reserveBytes: gib / 4, full } },
  }
}
const stranger = {
  time: '2026-05-01T10:10:00.000Z',
  reason: 'it does not know the secret of this cluster',
  address: '/ip4/10.0.0.9',
}

test.each<[string, readonly Examined[], readonly string[]]>([
  ['nothing', withOak({}), []],
  [
    'a peer that is gone',
    [{ member: member('oak'), silent: { error: 'refused', port: 'closed' } }, healthy('elm')],
    ['wrong ports oak: its gateway http://oak does not answer, nor does its port for peers: refused'],
  ],
  [
    'a gateway that is not where it is said to be',
    [{ member: member('oak'), silent: { error: 'refused', port: 'open' } }, healthy('elm')],
    ['wrong ports oak: its gateway http://oak does not answer, but its port for peers does: it runs: refused'],
  ],
  [
    'another secret, both ways',
    withOak({
      strangers: [stranger as unknown as MeshEvent],
      links: [link({ state: 'up', lastError: stranger.reason })],
    }),
    [
      `wrong secret oak: /ip4/10.0.0.9 is not let in, or does not let it in: ${stranger.reason}`,
      `wrong secret oak: elm is not let in, or does not let it in: ${stranger.reason}`,
    ],
  ],
  [
    'a stranger of the past',
    withOak({ strangers: [{ ...stranger, time: '2026-05-01T10:09:59.999Z' } as unknown as MeshEvent] }),
    [],
  ],
  [
    'one who is dead for one side only',
    withOak({ members: seen({ state: 'dead', reason: 'no answer' }), links: [link({ lastError: 'timed out' })] }),
    ['wrong reach oak: calls dead elm, which does reach it: timed out'],
  ],
  [
    'a link that is not there although all live',
    withOak({ links: [link({ lastError: 'timed out' })] }),
    ['note reach oak: has no link to elm: timed out'],
  ],
  ['a link that nobody needs', withOak({ links: [link({ dialAttempts: 0 })] }), []],
  [
    'a clock',
    withOak({ clock: { aheadMs: -2_000, offByMs: 10 } }),
    ['wrong clock oak: its clock is 2.0 s behind the others'],
  ],
  ['a clock that is as wrong as the answer is slow', withOak({ clock: { aheadMs: 900, offByMs: 450 } }), []],
  ['our own clock', names.map((name) => healthy(name, { clock: { aheadMs: 60_000, offByMs: 5 } })), []],
  [
    'a full disk',
    withOak(disk(0.2, true) as Partial<Said>),
    ['wrong disk oak: its disk is full: 205 MiB free, 256 MiB are kept for itself'],
  ],
  [
    'a disk that is full soon',
    withOak(disk(0.4) as Partial<Said>),
    ['note disk oak: its disk is full soon: 410 MiB free, at 256 MiB publishes are refused'],
  ],
  [
    'damage',
    withOak({ totals: { damagedRecords: 3, lostRecords: 1 } as Said['totals'] }),
    ['wrong damage oak: 3 records on its disk are damaged, 1 of them nobody else has'],
  ],
  [
    'an old version',
    withOak({ self: { version: '0' } as SelfNowView }),
    ['note version oak: it runs version 0, most run 1'],
  ],
  [
    'registries that differ',
    withOak({
      members: [member('oak', { self: true }), member('ash')],
      forgotten: [member('elm', { status: 'forgotten' })],
    }),
    ['wrong registry elm: it is forgotten for oak; member for elm, ash'],
  ],
  [
    'one identity twice',
    withOak({ double: { agoMs: 1, addresses: ['10.0.0.9:7400'] } as GossipView['self']['double'] }),
    ['wrong identity oak: another process has its identity, at 10.0.0.9:7400'],
  ],
])('%s', (_, examined, expected) => {
  const findings = findingsOf(examined)
  expect(findings.map(({ check, severity, peer, what }) => `${severity} ${check} ${peer}: ${what}`)).toEqual(expected)
  for (const { fix } of findings) expect(fix).not.toBe('')
})

test('what lab mode cuts off is not looked for in the network', () => {
  const lab = 'cut off by lab mode'
  const [finding] = findingsOf(
    withOak({ members: seen({ state: 'dead', reason: 'no answer' }), links: [link({ lastError: lab })] }),
  )
  expect(finding?.fix).toContain('grapevine lab heal')
})
