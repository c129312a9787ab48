// Goal: who restarts peers learns from the exit code whether the process answers. Against fake gateways.
import { expect, test } from 'vitest'
import { FakeGateway, problem } from '#test/fake-gateway'
import { fakeTerminal } from '#test/fake-terminal'
import { exitCodes } from '../exit-codes.ts'
import { run } from '../main.ts'

test('a peer that answers is healthy, and nothing else is asked of it', async () => {
  await using oak = await FakeGateway.start('oak')
  const { terminal, stdout } = fakeTerminal()
  expect(await run(['health', '--server', oak.url], terminal)).toBe(exitCodes.ok)
  expect(stdout.json).toEqual([{ server: oak.url, status: 'ok' }])
  expect(oak.requests).toEqual(['GET /healthz'])
})

test('a peer that is gone is not, and a healthy one beside it does not hide that', async () => {
  await using oak = await FakeGateway.start('oak')
  const elm = await FakeGateway.start('elm')
  const gone = elm.url
  await elm.stop()
  const { terminal, stdout, stderr } = fakeTerminal()
  expect(await run(['health', '--server', `${oak.url},${gone}`], terminal)).toBe(exitCodes.failed)
  expect(stdout.text).toBe('')
  expect(stderr.text).toMatch(/^GRAPEVINE_UNAVAILABLE: .*ECONNREFUSED/)
})

test('a peer that answers with a problem is not', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.intercept = (_, response) => (problem(response, 'UNAVAILABLE'), true)
  expect(await run(['health', '--server', oak.url], fakeTerminal().terminal)).toBe(exitCodes.failed)
})
