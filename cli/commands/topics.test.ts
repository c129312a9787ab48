// Topics from the command line: what is asked for arrives as asked, and what is wrong is said before anything is.
import { expect, test } from 'vitest'
import { FakeGateway } from '#test/fake-gateway'
import type { TopicName } from '#protocol/topic-name'
import { fakeTerminal } from '#test/fake-terminal'
import { exitCodes } from '../exit-codes.ts'
import { run } from '../main.ts'

async function told(oak: FakeGateway, ...args: readonly string[]) {
  const { terminal, stdout, stderr } = fakeTerminal()
  const code = await run(['topics', ...args, '--server', oak.url], terminal)
  const json = args.includes('table') ? [] : stdout.json
  return { code, json, text: stdout.text, error: stderr.text }
}

test('topics lists; a name that is a subcommand is listed with list', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.append('orders', 'pears', 'figs')
  oak.append('set', 'one')
  expect(await told(oak)).toMatchObject({
    code: exitCodes.ok,
    json: [{ topic: 'orders', records: 2 }, { topic: 'set' }],
  })
  expect((await told(oak, 'orders')).code).toBe(exitCodes.ok)
  await told(oak, 'list', 'set')
  expect(oak.requests.slice(-2)).toEqual(['GET /v1/mesh/self', 'GET /v1/topics?match=set'])
})

test('create asks for what it is told, and nothing else', async () => {
  await using oak = await FakeGateway.start('oak')
  const config = { replicas: 5, retention: { ageMs: 604_800_000, records: 1_000 }, minAck: 'n:2+majority' }
  const made = await told(
    oak,
    'create',
    'orders',
    '--replicas',
    '5',
    '--retention',
    'age=7d,records=1000',
    '--min-ack',
    'n:2+majority',
  )
  expect(made).toMatchObject({ code: exitCodes.ok, json: [{ topic: 'orders', config }] })
  await told(oak, 'create', 'bills')
  expect(oak.configs.get('bills')).toEqual({})
  const shown = await told(oak, 'show', 'orders', '-o', 'table')
  expect(shown.text).toMatch(/\norders +0 +5 +age 7d 0h, records 1000 +n:2\+majority +v1\n/)
})

test('set changes what it names, of the version that it names', async () => {
  await using oak = await FakeGateway.start('oak')
  await told(oak, 'create', 'orders', '--replicas', '5')
  expect((await told(oak, 'set', 'orders', '--retention', 'none')).json).toMatchObject([
    { config: { replicas: 5, retention: {} } },
  ])
  const late = await told(oak, 'set', 'orders', '--replicas', '2', '--if-version', 'v1')
  expect(late.code).toBe(exitCodes.failed)
  expect(late.error).toMatch(/^GRAPEVINE_TOPIC_CHANGED: /)
  expect((await told(oak, 'set', 'orders', '--replicas', '2', '--if-version', 'v2')).code).toBe(exitCodes.ok)
})

test('rm deletes; topics tells of what others published to a deleted topic', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.append('orders', 'pears')
  expect((await told(oak, 'rm', 'orders')).json).toEqual([
    { topic: 'orders', generation: 0, remains: '$deleted.orders.0' },
  ])
  expect((await told(oak, 'rm', 'orders')).error).toMatch(/^GRAPEVINE_TOPIC_NOT_FOUND: /)
  oak.deleted = [{ topic: '$deleted.orders.0' as TopicName, records: 2, goesInMs: 90_000 }]
  const listed = await told(oak)
  expect(listed.json).toEqual([])
  expect(listed.error).toContain('$deleted.orders.0: 2 records published to a deleted topic; gone in 1m 30s')
})

test.each([
  [['create']],
  [['create', 'orders', '--replicas', '0']],
  [['create', 'orders', '--retention', 'age=7']],
  [['create', 'orders', '--retention', '7d']],
  [['set', 'orders', '--min-ack', 'quorum']],
])('topics %j is refused before anybody is asked', async (args) => {
  await using oak = await FakeGateway.start('oak')
  expect((await told(oak, ...args)).code).toBe(exitCodes.usage)
  expect(oak.requests).toEqual([])
})
