// What a peer believes, as tables for people and lines of JSON for programs.
import { expect, test } from 'vitest'
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
  expect(stdout.text).toMatch(/^oak \(12D3KooWoak\), incarnation 1\n/)
  for (const section of [
    'Members\nNAME',
    'Last changes\nnone',
    'Rumors being spread\nnone',
    'Probes under way\nnone',
  ]) {
    expect(stdout.text).toContain(section)
  }
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

test('where finds a record by topic and id, and by id alone', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.append('invoices', 'nothing to see')
  oak.append('orders', 'pears', 'figs')
  const id = oak.topics.get('orders')?.[1]?.id ?? ''
  for (const args of [['orders', id], [id]]) {
    const { terminal, stdout, stderr } = fakeTerminal()
    expect(await run(['where', ...args, '-o', 'table', '--server', oak.url], terminal)).toBe(exitCodes.ok)
    expect(stdout.text).toMatch(/\noak +yes +now\n/)
    expect(stderr.text).toContain('on 1 disk')
  }
})

test('where says so when nobody asked has the record', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.append('orders', 'pears')
  const { terminal, stderr } = fakeTerminal()
  const id = '12D3KooWelm.00000000000000bb.9'
  expect(await run(['where', id, '--server', oak.url], terminal)).toBe(exitCodes.failed)
  expect(stderr.text).toContain(`GRAPEVINE_RECORD_NOT_FOUND: `)
})
