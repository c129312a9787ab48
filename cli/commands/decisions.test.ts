// Who is told to go, and what its operator sees meanwhile. Method: two gateways, oak that is asked and elm that goes.
import { expect, test } from 'vitest'
import { MeshError } from '#protocol/errors'
import type { MemberView } from '#protocol/views'
import { FakeGateway } from '#test/fake-gateway'
import { fakeTerminal } from '#test/fake-terminal'
import { exitCodes } from '../exit-codes.ts'
import { run } from '../main.ts'

const viewOf = ({ name, peerId, url }: FakeGateway, status: MemberView['status']): Partial<MemberView> => ({
  id: peerId,
  name,
  state: 'alive',
  status,
  http: url,
})

test('decommission tells what is left and whom it waits for, until the mesh has forgotten the member', async () => {
  await using oak = await FakeGateway.start('oak')
  await using elm = await FakeGateway.start('elm')
  const leaving = { status: 'leaving', feeds: 2, records: 1_200, waitsFor: ['ash', 'fir'] } as const
  const steps = [
    { ...leaving },
    { ...leaving, feeds: 1, waitsFor: ['fir'] },
    { ...leaving, feeds: 1, waitsFor: ['fir'] },
  ]
  oak.members = [viewOf(oak, 'member'), viewOf(elm, 'leaving')]
  oak.decide = () => viewOf(elm, 'leaving')
  elm.intercept = (request) => {
    if (request.url !== '/v1/mesh/replication') return false
    const step = steps.shift()
    if (step !== undefined) elm.replication = { leaving: step }
    else [oak.members, oak.forgotten] = [[viewOf(oak, 'member')], [viewOf(elm, 'forgotten')]]
    return false
  }
  const { terminal, stdout, stderr } = fakeTerminal()
  expect(await run(['decommission', 'elm', '--server', oak.url], terminal)).toBe(exitCodes.ok)
  expect(oak.requests).toContain('POST /v1/mesh/members/elm/decommission')
  expect(stderr.text.split('\n')).toEqual([
    'elm hands over: 2 feeds with 1,200 records left, waits for ash, fir',
    'elm hands over: 1 feed with 1,200 records left, waits for fir',
    '',
  ])
  expect(stdout.json).toMatchObject([{ name: 'elm', status: 'forgotten' }])
})

test('decommission waits for a member that does not answer, and says so; --no-wait for none', async () => {
  await using oak = await FakeGateway.start('oak')
  const elm = { id: 'elm-id', name: 'elm', state: 'dead', status: 'leaving', http: 'http://127.0.0.1:1' } as const
  oak.members = [elm]
  oak.decide = () => elm
  const patient = fakeTerminal()
  const waiting = run(['decommission', 'elm', '--server', oak.url], patient.terminal)
  await expect
    .poll(() => patient.stderr.text)
    .toMatch('elm does not answer at http://127.0.0.1:1: it goes on when it is back')
  patient.stop.abort()
  await waiting
  const hasty = fakeTerminal()
  expect(await run(['decommission', 'elm', '--no-wait', '--server', oak.url], hasty.terminal)).toBe(exitCodes.ok)
  expect(hasty.stdout.json).toEqual([elm])
})

test('decommission ends when the member is admitted again', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.decide = () => viewOf(oak, 'leaving')
  oak.members = [viewOf(oak, 'member')]
  const { terminal, stderr } = fakeTerminal()
  expect(await run(['decommission', 'oak', '--server', oak.url], terminal)).toBe(exitCodes.failed)
  expect(stderr.text).toContain('oak was admitted again')
})

test('forget says what to do about a member that is alive, and takes --force', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.intercept = (request, response) => {
    if (request.url !== '/v1/mesh/members/elm/forget') return false
    const { code, status, hint } = Object.assign(new MeshError('MEMBER_ALIVE', 'elm is alive.'))
    response.writeHead(status, { 'content-type': 'application/problem+json' })
    response.end(JSON.stringify({ code, status, detail: 'elm is alive.', hint }))
    return true
  }
  oak.decide = (name) => ({ name, state: 'alive', status: 'forgotten', id: 'elm-id' })
  const refused = fakeTerminal()
  expect(await run(['forget', 'elm', '--server', oak.url], refused.terminal)).toBe(exitCodes.failed)
  expect(refused.stderr.text).toMatch(/^GRAPEVINE_MEMBER_ALIVE: .* elm is alive\. Decommission it, so that .*\n$/)
  const { terminal, stdout } = fakeTerminal()
  expect(await run(['forget', 'elm', '--force', '-o', 'table', '--server', oak.url], terminal)).toBe(exitCodes.ok)
  expect(stdout.text).toMatch(/^NAME +STATE +STATUS +ID\nelm +alive +forgotten +elm-id\n$/)
})

test('admit, and members with those who do not belong', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.members = [{ ...viewOf(oak, 'leaving'), sinceMs: 1, incarnation: 1, addresses: [] }]
  oak.forgotten = [
    { ...viewOf(oak, 'forgotten'), name: 'elm', state: 'dead', sinceMs: 1, incarnation: 1, addresses: [] },
  ]
  const all = fakeTerminal()
  await run(['members', '--forgotten', '-o', 'table', '--server', oak.url], all.terminal)
  expect(all.stdout.text).toMatch(/\noak +alive, leaving .*\nelm +dead, forgotten /)
  oak.decide = (name, decision) => ({ name: `${decision} ${name}`, status: 'member' })
  const { terminal, stdout } = fakeTerminal()
  expect(await run(['admit', 'elm', '--server', oak.url], terminal)).toBe(exitCodes.ok)
  expect(stdout.json).toEqual([{ name: 'admit elm', status: 'member' }])
})
