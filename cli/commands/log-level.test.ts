import { expect, test } from 'vitest'
import { FakeGateway } from '#test/fake-gateway'
import { fakeTerminal } from '#test/fake-terminal'
import { exitCodes } from '../exit-codes.ts'
import { run } from '../main.ts'

test('each peer that is named is told, the second does not stand in for the first', async () => {
  await using oak = await FakeGateway.start('oak')
  await using elm = await FakeGateway.start('elm')
  const servers = `${oak.url},${elm.url}`
  const changed = fakeTerminal()
  expect(await run(['log-level', 'debug', '--server', servers], changed.terminal)).toBe(exitCodes.ok)
  expect([oak.logLevel, elm.logLevel]).toEqual(['debug', 'debug'])
  elm.logLevel = 'warn'
  const shown = fakeTerminal()
  expect(await run(['log-level', '--server', servers], shown.terminal)).toBe(exitCodes.ok)
  expect(shown.stdout.json).toEqual([
    { server: oak.url, level: 'debug' },
    { server: elm.url, level: 'warn' },
  ])
})

test('a level that is none is refused before anybody is asked', async () => {
  await using oak = await FakeGateway.start('oak')
  const { terminal, stderr } = fakeTerminal()
  expect(await run(['log-level', 'loud', '--server', oak.url], terminal)).toBe(exitCodes.usage)
  expect(stderr.text).toMatch(/debug, info, warn, error/)
  expect(oak.requests).toEqual([])
})
