// What a peer believes, as tables for people and lines of JSON for programs.
import { expect, test } from 'vitest'
import type { ReplicationView } from '#protocol/views'
import { FakeGateway } from '#test/fake-gateway'
import { fakeTerminal } from '#test/fake-terminal'
import { exitCodes } from '../exit-codes.ts'
import { run } from '../main.ts'

const suspectElm = {
  id: '12D3KooWelm',
  name: 'elm',
  self: false,
  state: 'suspect',
  incarnation: 4,
  sinceMs: 1_200,
  reason: 'no answer to 3 indirect probes',
  suspectedBy: ['ash', 'fir'],
  deadInMs: 2_000,
  http: 'http://127.0.0.1:8401',
  addresses: ['127.0.0.1:7401'],
  zone: '',
  linked: false,
} as const

test('members says who is suspected since when, by whom and why', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.members = [suspectElm]
  const people = fakeTerminal()
  await run(['members', '-o', 'table', '--server', oak.url], people.terminal)
  const [header, row] = people.stdout.text.split('\n')
  expect(header).toMatch(/^NAME +STATE +SINCE +INCARNATION/)
  expect(row).toMatch(/^elm +suspect +1\.2s +4 +- .*no answer to 3 indirect probes, says ash, fir, dead in 2\.0s$/)
  const program = fakeTerminal()
  await run(['members', '--server', oak.url], program.terminal)
  expect(program.stdout.json).toEqual([suspectElm])
})

test('gossip shows each part, empty ones too', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.members = [suspectElm]
  const { terminal, stdout } = fakeTerminal()
  expect(await run(['gossip', '-o', 'table', '--server', oak.url], terminal)).toBe(exitCodes.ok)
  expect(stdout.text).toMatch(/^oak \(12D3KooWoak\), incarnation 1, awareness 0\n/)
  for (const section of [
    'Members\nNAME',
    'Last changes\nnone',
    'Rumors being spread\nnone',
    'Probes under way\nnone',
  ]) {
    expect(stdout.text).toContain(section)
  }
})

test('gossip says where another process with the identity of the peer is', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.double = { agoMs: 2_000, addresses: ['10.0.0.9:7400'] }
  const { terminal, stdout } = fakeTerminal()
  await run(['gossip', '-o', 'table', '--server', oak.url], terminal)
  expect(stdout.text).toContain('\nanother process has its identity, at 10.0.0.9:7400 2.0s ago: stop one of them\n')
})

test('gossip sums up the round trips to each peer for people, and lists all for programs', async () => {
  await using oak = await FakeGateway.start('oak')
  const toElm = [4, 90, 3, 5, 2].map((rttMs, i) => ({
    peer: '12D3KooWelm',
    name: 'elm',
    rttMs,
    agoMs: 5_000 - i * 1_000,
  }))
  oak.roundTrips = [...toElm, { peer: '12D3KooWash', name: 'ash', rttMs: 7, agoMs: 500 }]
  const people = fakeTerminal()
  await run(['gossip', '-o', 'table', '--server', oak.url], people.terminal)
  expect(people.stdout.text).toMatch(
    /\nLast round trips\nPEER .*\nelm +2ms +4ms +90ms +1\.0s\nash +7ms +7ms +7ms +500ms\n\n/,
  )
  const program = fakeTerminal()
  await run(['gossip', '--server', oak.url], program.terminal)
  expect(program.stdout.json).toMatchObject([{ roundTrips: oak.roundTrips }])
})

test('gossip --watch goes on until Ctrl-C, which is no failure', async () => {
  await using oak = await FakeGateway.start('oak')
  const { terminal, stdout, stop } = fakeTerminal()
  const done = run(['gossip', '--watch', '--server', oak.url], terminal)
  await expect.poll(() => stdout.json.length, { timeout: 10_000 }).toBe(2)
  stop.abort()
  expect(await done).toBe(exitCodes.ok)
})

const behindAsh = { peer: '12D3KooWash', name: 'ash', topic: 'orders', records: 12, current: false } as const
const feed = '12D3KooWelm.00000000000000bb'
const replication: ReplicationView = {
  totals: {
    diskFull: true,
    behindRecords: 12,
    behindFeeds: 1,
    damagedRecords: 3,
    lostRecords: 1,
    rangesFound: 2,
    rangesRepaired: 0,
    handedOff: 0,
    forgotten: 0,
    verifications: 0,
    followedTopics: 0,
    remoteReads: 0,
    waitingPublishes: 2,
  },
  neighbors: [{ ...behindAsh, linked: false, current: false, diskFull: true, behindRecords: 12, unpushedFeeds: 0 }],
  behind: [behindAsh],
  catchUps: [
    {
      topic: 'orders',
      feed,
      from: 'elm',
      position: 40,
      target: 100,
      recordsLeft: 60,
      sinceMs: 2_000,
      recordsPerSecond: 20,
    },
  ],
  repairs: [{ topic: 'orders', feed, state: 'fetching', from: 4, to: 7, source: 'elm', position: 5 }],
  handoffs: [{ topic: 'bills', feed, step: 'asking', records: 9, waitsFor: ['ash', 'elm'] }],
  leftOut: { neighbors: 0, behind: 1_300, repairs: 0, handoffs: 0 },
}

test('replication tells who lacks what, what is fetched, mended and let go of, and how much it leaves out', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.replication = replication
  const people = fakeTerminal()
  expect(await run(['replication', '-o', 'table', '--server', oak.url], people.terminal)).toBe(exitCodes.ok)
  const { text } = people.stdout
  expect(text.split('\n')[0]).toBe(
    '12 records behind, 1 feed to fetch, 3 damaged records (1 lost), 2 publishes waiting for copies, disk full',
  )
  for (const line of [
    /\nash +none +last heard +12 +0 +full\n/,
    /\nash +orders +12 +last heard\nand 1,300 more\n/,
    /\norders +elm +40 of 100 +60 +2\.0s +20 +12D3KooWelm\./,
    /\norders +fetching +\[4, 7\) +elm +5 +12D3KooWelm\./,
    /\nbills +asking +9 +ash, elm +12D3KooWelm\./,
  ]) {
    expect(text).toMatch(line)
  }
  const program = fakeTerminal()
  await run(['replication', '--server', oak.url], program.terminal)
  expect(program.stdout.json).toEqual([replication])
})

test('replication --watch goes on until Ctrl-C, which is no failure', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.replication = replication
  const { terminal, stdout, stop } = fakeTerminal()
  const done = run(['replication', '--watch', '--server', oak.url], terminal)
  await expect.poll(() => stdout.json.length, { timeout: 10_000 }).toBe(2)
  stop.abort()
  expect(await done).toBe(exitCodes.ok)
})

test('where finds a record by topic and id, and by id alone', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.append('invoices', 'nothing to see')
  oak.append('orders', 'pears', 'figs')
  const id = oak.topics.get('orders')?.[1]?.id ?? ''
  for (const args of [['orders', id], [id]]) {
    const { terminal, stdout, stderr } = fakeTerminal()
    expect(await run(['where', ...args, '-o', 'table', '--server', oak.url], terminal)).toBe(exitCodes.ok)
    expect(stdout.text).toMatch(/\noak +yes +home +now\n/)
    expect(stderr.text).toContain('on 1 disk')
  }
})

test('where --ack waits for as many disks, and says by its exit code whether there are', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.append('orders', 'pears')
  const id = oak.topics.get('orders')?.[0]?.id ?? ''
  for (const [ack, exitCode, told] of [
    ['n:1', exitCodes.ok, 'ack n:1: reached, on 1 disk (oak)'],
    ['n:2', exitCodes.degraded, 'ack n:2: not reached, on 1 disk (oak)'],
  ] as const) {
    const { terminal, stdout, stderr } = fakeTerminal()
    expect(await run(['where', id, '--ack', ack, '--wait', '1s', '--server', oak.url], terminal)).toBe(exitCode)
    expect(stdout.json).toMatchObject([{ id, copies: 1 }])
    expect(stderr.text).toContain(told)
  }
  expect(oak.requests.filter((request) => request.includes('level')).map((request) => request.split('?')[1])).toEqual([
    'level=n%3A1&wait=1s',
    'level=n%3A2&wait=1s',
  ])
  const { terminal } = fakeTerminal()
  expect(await run(['where', id, '--wait', '1s', '--server', oak.url], terminal)).toBe(exitCodes.usage)
  expect(await run(['where', id, '--ack', 'most', '--server', oak.url], terminal)).toBe(exitCodes.usage)
})

test('where says so when nobody asked has the record', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.append('orders', 'pears')
  const { terminal, stderr } = fakeTerminal()
  const id = '12D3KooWelm.00000000000000bb.9'
  expect(await run(['where', id, '--server', oak.url], terminal)).toBe(exitCodes.failed)
  expect(stderr.text).toContain(`GRAPEVINE_RECORD_NOT_FOUND: `)
})
