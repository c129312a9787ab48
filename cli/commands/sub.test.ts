// What is printed, and when a subscription ends.
import { expect, test } from 'vitest'
import { cursorOf, FakeGateway } from '#test/fake-gateway'
import { fakeTerminal } from '#test/fake-terminal'
import { exitCodes } from '../exit-codes.ts'
import { run } from '../main.ts'

test('in a pipe each record is a line of JSON with its cursor', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.append('orders', 'pears', 'figs')
  const { terminal, stdout } = fakeTerminal()
  const args = ['sub', 'orders', '--from', 'earliest', '--until-caught-up', '--server', oak.url]
  expect(await run(args, terminal)).toBe(exitCodes.ok)
  expect(stdout.json).toMatchObject([
    { value: 'pears', offset: 0, cursor: cursorOf(1) },
    { value: 'figs', offset: 1, cursor: cursorOf(2) },
  ])
})

test('-o value gives back what pub --lines took in', async () => {
  await using oak = await FakeGateway.start('oak')
  const input = Buffer.from('\xef\xbb\xbfpears\n\nfigs\r\n\xff\xfe\n', 'latin1')
  await run(['pub', 'orders', '--lines', '--server', oak.url], fakeTerminal({ stdin: [input] }).terminal)
  const { terminal, stdout } = fakeTerminal()
  await run(['sub', 'orders', '--from', 'earliest', '--until-caught-up', '-o', 'value', '--server', oak.url], terminal)
  expect(stdout.bytes).toEqual(input)
})

test('on a terminal a record is one line with its writer, and cannot drive it', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.members = [{ id: oak.peerId, name: 'oak' }]
  oak.append('orders', 'ten\u001b[2Jpears')
  const { terminal, stdout } = fakeTerminal({ isTTY: true })
  await run(['sub', 'orders', '--from', 'earliest', '--limit', '1', '--server', oak.url], terminal)
  expect(stdout.text).toContain('10:00:00.000  oak/0')
  expect(stdout.text).toContain('ten·[2Jpears')
})

test('--limit ends after so many records and says where to go on', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.append('orders', 'pears', 'figs', 'plums')
  const first = fakeTerminal()
  await run(['sub', 'orders', '--from', 'earliest', '-n', '2', '-o', 'value', '--server', oak.url], first.terminal)
  expect(first.stdout.text).toBe('pears\nfigs\n')
  const cursor = /cursor: (\S+)/.exec(first.stderr.text)?.[1] ?? ''
  const second = fakeTerminal()
  await run(['sub', 'orders', '--from', cursor, '-n', '1', '-o', 'value', '--server', oak.url], second.terminal)
  expect(second.stdout.text).toBe('plums\n')
})

test('from latest only what comes is printed; Ctrl-C ends it with exit code 0', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.append('orders', 'old pears')
  const { terminal, stdout, stop } = fakeTerminal()
  const done = run(['sub', 'orders', '-o', 'value', '--server', oak.url], terminal)
  await expect.poll(() => oak.subscriptionCount).toBe(1)
  oak.append('orders', 'new pears')
  await expect.poll(() => stdout.text).toBe('new pears\n')
  stop.abort()
  expect(await done).toBe(exitCodes.ok)
})

test('a topic that nobody knows yet is waited for, with one word about it', async () => {
  await using oak = await FakeGateway.start('oak')
  const { terminal, stdout, stderr } = fakeTerminal()
  const done = run(['sub', 'orders', '--from', 'earliest', '-n', '1', '-o', 'value', '--server', oak.url], terminal)
  await expect.poll(() => stderr.text).toContain('no topic matches orders; waiting for it')
  oak.append('orders', 'pears')
  expect(await done).toBe(exitCodes.ok)
  expect(stdout.text).toBe('pears\n')
  expect(stderr.text.match(/warning/g)).toHaveLength(1)
})

test('who wants what is there now is told when there is no such topic', async () => {
  await using oak = await FakeGateway.start('oak')
  const { terminal, stderr } = fakeTerminal()
  expect(await run(['sub', 'orders', '--until-caught-up', '--server', oak.url], terminal)).toBe(exitCodes.failed)
  expect(stderr.text).toContain('GRAPEVINE_TOPIC_NOT_FOUND: ')
})

test('several topics and patterns are read together, each line with its topic, and go on from a cursor for each', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.append('orders', 'pears')
  oak.append('bills.eu', '3 €')
  oak.append('notes', 'not asked for')
  const args = ['sub', 'orders', 'bills.**', '--server', oak.url, '--until-caught-up']
  const first = fakeTerminal({ isTTY: true })
  expect(await run([...args, '--from', 'earliest'], first.terminal)).toBe(exitCodes.ok)
  expect(first.stdout.text).toMatch(/^orders {2}.*pears\nbills\.eu {2}.*3 €\n$/)
  const cursor = /cursor: (\{.*\})/.exec(first.stderr.text)?.[1] ?? ''
  expect(JSON.parse(cursor)).toEqual({ orders: cursorOf(1), 'bills.eu': cursorOf(1) })
  oak.append('bills.eu', '4 €')
  const second = fakeTerminal()
  expect(await run([...args, '-o', 'value', '--from', cursor], second.terminal)).toBe(exitCodes.ok)
  expect(second.stdout.text).toBe('4 €\n')
})

test('a partition and its end are told on stderr', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.append('orders', 'pears')
  const { terminal, stderr, stop } = fakeTerminal()
  const done = run(['sub', 'orders', '--server', oak.url], terminal)
  await expect.poll(() => oak.subscriptionCount).toBe(1)
  const { sub } = oak.frames[0] as { sub: string }
  oak.say({ type: 'event', sub, event: 'partition', reachable: ['oak'], known: ['elm', 'oak'] })
  oak.say({ type: 'event', sub, event: 'healed' })
  await expect.poll(() => stderr.text).toMatch(/the mesh is cut: oak of 2 members are reachable\n.*whole again/s)
  stop.abort()
  await done
})

test('records that are lost and records that only wait are told apart', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.append('orders', 'pears')
  const { terminal, stdout, stderr, stop } = fakeTerminal()
  const done = run(['sub', 'orders', '--from', 'earliest', '-o', 'value', '--server', oak.url], terminal)
  await expect.poll(() => stdout.text).toBe('pears\n')
  const { sub } = oak.frames[0] as { sub: string }
  const event = { type: 'event', sub, event: 'gap', topic: 'orders' } as const
  oak.say({ ...event, gap: { type: 'lost', feed: 'elm.01', from: 3, to: 9 } })
  oak.say({ ...event, gap: { type: 'late', feed: 'ash.02', from: 4, to: 5 } })
  await expect.poll(() => stderr.text).toContain('1 record of orders from ash.02.4 on cannot be read at this peer yet')
  expect(stderr.text).toContain('6 records of orders from elm.01.3 on are not kept any more')
  stop.abort()
  expect(await done).toBe(exitCodes.ok)
})
