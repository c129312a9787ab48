// What leaves the keyboard or a pipe arrives at the gateway, byte for byte, and the exit code says how far it got.
import { expect, test } from 'vitest'
import { connect } from '#client/mesh'
import { FakeGateway, problemOf } from '#test/fake-gateway'
import { fakeTerminal } from '#test/fake-terminal'
import { exitCodes } from '../exit-codes.ts'
import { run } from '../main.ts'
import { Interruption } from '../signals.ts'

async function valuesAt(gateway: FakeGateway, topic: string): Promise<string[]> {
  await using mesh = await connect({ servers: [gateway.url] })
  const { records } = await mesh.read(topic, { limit: 10_000 })
  return records.map((record) => Buffer.from(record.bytes()).toString('latin1'))
}

test('a value with key and headers is one record, and its id is printed', async () => {
  await using oak = await FakeGateway.start('oak')
  const { terminal, stdout } = fakeTerminal()
  const args = ['pub', '-H', 'trace=a=b', 'orders', 'ten pears', '--key', 'k7', '--server', oak.url]
  expect(await run(args, terminal)).toBe(exitCodes.ok)
  const record = oak.topics.get('orders')?.[0]
  expect(record).toMatchObject({ value: 'ten pears', key: 'k7', headers: { trace: 'a=b' } })
  expect(stdout.json).toMatchObject([{ id: record?.id, topic: 'orders', reached: true, copies: 1, peers: ['oak'] }])
})

test('a publish may have a key, but not many of them one', async () => {
  await using oak = await FakeGateway.start('oak')
  const { terminal, stderr } = fakeTerminal()
  const args = ['pub', 'orders', 'ten pears', '--idempotency-key', 'a7', '--server', oak.url]
  expect(await run(args, terminal)).toBe(exitCodes.ok)
  expect(oak.frames).toMatchObject([{ type: 'publish', idempotencyKey: 'a7' }])
  expect(await run([...args.filter((text) => text !== 'ten pears'), '--lines'], terminal)).toBe(exitCodes.usage)
  expect(stderr.text).toMatch('--lines makes many')
})

test('without a value the whole of stdin is one record', async () => {
  await using oak = await FakeGateway.start('oak')
  const { terminal } = fakeTerminal({ stdin: ['ten ', 'pears\nand figs\n'] })
  await run(['pub', 'orders', '--server', oak.url], terminal)
  expect(await valuesAt(oak, 'orders')).toEqual(['ten pears\nand figs\n'])
})

test('--lines makes each line a record: empty ones, a byte order mark, CR and bytes that are no text', async () => {
  await using oak = await FakeGateway.start('oak')
  const input = Buffer.from('\xef\xbb\xbfpears\n\nfigs\r\n\xff\xfe\nplums', 'latin1')
  const { terminal, stdout } = fakeTerminal({ stdin: [input.subarray(0, 9), input.subarray(9)] })
  expect(await run(['pub', 'orders', '--lines', '--server', oak.url], terminal)).toBe(exitCodes.ok)
  expect(await valuesAt(oak, 'orders')).toEqual(['\xef\xbb\xbfpears', '', 'figs\r', '\xff\xfe', 'plums'])
  expect(stdout.json).toMatchObject([{ topic: 'orders', records: 5, ack: { level: 'local', reached: true } }])
})

test('an ack level that is not reached is exit code 3 and a warning, for one record and for many', async () => {
  await using oak = await FakeGateway.start('oak')
  for (const lines of [[], ['--lines']]) {
    const { terminal, stderr } = fakeTerminal({ stdin: ['pears\n'] })
    const args = ['pub', 'orders', ...lines, '--ack', 'n:3', '--wait', '300ms', '--server', oak.url]
    expect(await run(args, terminal)).toBe(exitCodes.degraded)
    expect(stderr.text).toContain('ack=n:3 was not reached')
  }
})

test('when a later batch is refused, it says which lines are stored', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.interceptFrame = (frame, socket) => {
    if (frame.type !== 'publish' || oak.topics.size === 0) return false
    socket.send(JSON.stringify({ type: 'error', ref: frame.ref, problem: problemOf('OVERLOADED') }))
    return true
  }
  const { terminal, stderr } = fakeTerminal({ stdin: ['pears\n'.repeat(1_500)] })
  expect(await run(['pub', 'orders', '--lines', '--server', oak.url], terminal)).toBe(exitCodes.failed)
  expect(stderr.text).toContain('Lines 1 to 1000 published; lines 1001 to 1500 are not stored.')
  expect(stderr.text).toContain('GRAPEVINE_OVERLOADED: ')
})

test('no lines are no records, and no error', async () => {
  await using oak = await FakeGateway.start('oak')
  const { terminal, stdout } = fakeTerminal()
  expect(await run(['pub', 'orders', '--lines', '--server', oak.url], terminal)).toBe(exitCodes.ok)
  expect(stdout.json).toEqual([{ topic: 'orders', records: 0 }])
})

test('Ctrl-C ends the reading of a pipe that stays open, and says which lines are stored', async () => {
  await using oak = await FakeGateway.start('oak')
  const { terminal, stderr, stop } = fakeTerminal({ stdin: ['pears\nfigs\nhalf a li'], stdinStaysOpen: true })
  const done = run(['pub', 'orders', '--lines', '--server', oak.url], terminal)
  await expect.poll(() => oak.topics.get('orders')?.length).toBe(2)
  stop.abort(new Interruption('Ctrl-C'))
  expect(await done).toBe(exitCodes.interrupted)
  expect(stderr.text).toBe('Lines 1 to 2 published.\n')
})

test('Ctrl-C before the answer to a batch says that its lines may be stored or not', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.interceptFrame = (frame) => frame.type === 'publish'
  const { terminal, stderr, stop } = fakeTerminal({ stdin: ['pears\nfigs\n'], stdinStaysOpen: true })
  const done = run(['pub', 'orders', '--lines', '--server', oak.url], terminal)
  await expect.poll(() => oak.frames.map((frame) => frame.type)).toContain('publish')
  stop.abort(new Interruption('Ctrl-C'))
  expect(await done).toBe(exitCodes.interrupted)
  expect(stderr.text).toBe('No line published; lines 1 to 2 may be stored or not.\n')
})

test('Ctrl-C while one record is typed publishes nothing', async () => {
  await using oak = await FakeGateway.start('oak')
  const { terminal, stop } = fakeTerminal({ stdin: ['ten pe'], stdinStaysOpen: true })
  const done = run(['pub', 'orders', '--server', oak.url], terminal)
  await expect.poll(() => oak.requests).toEqual(['GET /v1/mesh/self'])
  stop.abort(new Interruption('Ctrl-C'))
  expect(await done).toBe(exitCodes.interrupted)
  expect(oak.topics.size).toBe(0)
})

test('an input that no record can hold is refused before all of it is kept', async () => {
  await using oak = await FakeGateway.start('oak')
  const { terminal, stderr } = fakeTerminal({ stdin: ['x'.repeat(2 * 1024 * 1024)], stdinStaysOpen: true })
  expect(await run(['pub', 'orders', '--server', oak.url], terminal)).toBe(exitCodes.failed)
  expect(stderr.text).toContain('GRAPEVINE_RECORD_TOO_LARGE: ')
})

test('an empty stdin is an empty record, and a warning: it is seldom meant', async () => {
  await using oak = await FakeGateway.start('oak')
  const { terminal, stderr } = fakeTerminal()
  expect(await run(['pub', 'orders', '--server', oak.url], terminal)).toBe(exitCodes.ok)
  expect(await valuesAt(oak, 'orders')).toEqual([''])
  expect(stderr.text).toContain('stdin is empty')
})

test.each([
  [['--ack', 'most'], '--ack most must be'],
  [['--header', 'novalue'], '--header novalue must be'],
  [['--lines'], 'leave out pears'],
  [['--wait', '5'], 'a duration such as 300ms'],
  [['--wait', '90s'], 'at most 60s'],
])('%j is refused before anything is sent', async (args, complaint) => {
  await using oak = await FakeGateway.start('oak')
  const { terminal, stderr } = fakeTerminal()
  expect(await run(['pub', 'orders', 'pears', ...args, '--server', oak.url], terminal)).toBe(exitCodes.usage)
  expect(stderr.text).toContain(complaint)
  expect(oak.requests).toEqual([])
})
