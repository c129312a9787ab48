// The command line as a whole: help, mistakes of the one who types, and servers that are not there.
import { expect, test } from 'vitest'
import { FakeGateway } from '#test/fake-gateway'
import { fakeTerminal } from '#test/fake-terminal'
import { exitCodes } from './exit-codes.ts'
import { run } from './main.ts'

const commands = [
  'up',
  'peer',
  'pub',
  'sub',
  'topics',
  'members',
  'gossip',
  'replication',
  'where',
  'verify',
  'decommission',
  'forget',
  'admit',
  'lab split',
  'lab heal',
]

test.each(commands)('%s explains itself with an example, on stdout, for 80 columns', async (command) => {
  const { terminal, stdout, stderr } = fakeTerminal()
  expect(await run([...command.split(' '), '--help'], terminal)).toBe(exitCodes.ok)
  expect(stdout.text).toMatch(new RegExp(`Usage: grapevine ${command} [^]*\\nExamples?:\\n  \\$ grapevine ${command}`))
  expect(stdout.text.split('\n').filter((line) => line.length > 80)).toEqual([])
  expect(stderr.text).toBe('')
})

test('the help of grapevine names every command and every exit code', async () => {
  const { terminal, stdout } = fakeTerminal()
  expect(await run(['--help'], terminal)).toBe(exitCodes.ok)
  for (const command of commands) expect(stdout.text).toContain(`  ${command.split(' ')[0]} `)
  for (const code of Object.values(exitCodes)) expect(stdout.text).toMatch(new RegExp(`Exit codes:.* ${code} `))
})

test.each([
  [['dance'], "unknown command 'dance'"],
  [['help', 'dance'], "unknown command 'dance'"],
  [['help', 'lab', 'merge'], "unknown command 'lab merge'"],
  [['pub'], "missing required argument 'topic'"],
  [['members', '--loud'], "unknown option '--loud'"],
  [['sub', 'orders', '--limit', '0'], 'whole number from 1'],
  [['up', '--peers', '99'], 'whole number from 1 to 12'],
  [['members', '-o', 'xml'], 'Allowed choices are table, json'],
  [['verify', '--wait', '10'], 'a duration such as 300ms'],
  [[], 'a command is missing'],
  [['members', '--server', 'ftp://oak'], '127.0.0.1:8400 or the like'],
  [['members', '--server', ','], '127.0.0.1:8400 or the like'],
  [['sub', 'orders', '--from', 'yesterday'], 'yesterday is no start: earliest, latest or a cursor. See --help.'],
  [['peer', '--listen', '7400'], '--listen'],
])('%j is exit code 2 and one line on stderr', async (args, complaint) => {
  const { terminal, stdout, stderr } = fakeTerminal()
  expect(await run(args, terminal)).toBe(exitCodes.usage)
  expect(stderr.text).toMatch(/^GRAPEVINE_(USAGE|CONFIG_INVALID): .*\n$/)
  expect(stderr.text).toContain(complaint)
  expect(stdout.text).toBe('')
})

test('a server that is not there is named with the reason and what to do', async () => {
  const oak = await FakeGateway.start('oak')
  const { url } = oak
  await oak.stop()
  const { terminal, stderr } = fakeTerminal()
  expect(await run(['members', '--server', url], terminal)).toBe(exitCodes.failed)
  expect(stderr.text).toMatch(
    /^GRAPEVINE_UNAVAILABLE: No peer answered\. .*ECONNREFUSED.* Is a peer running there, .* port for clients .*\?\n$/,
  )
  expect(stderr.text).toContain(url)
})

test('the next server of the list stands in', async () => {
  const oak = await FakeGateway.start('oak')
  await using elm = await FakeGateway.start('elm')
  elm.append('orders', 'pears')
  const servers = `${oak.url},${elm.url}`
  await oak.stop()
  const { terminal, stdout } = fakeTerminal()
  expect(await run(['topics', '--server', servers], terminal)).toBe(exitCodes.ok)
  expect(stdout.json).toMatchObject([{ topic: 'orders', records: 1 }])
})

test('a server may be named without http://', async () => {
  await using oak = await FakeGateway.start('oak')
  const { terminal } = fakeTerminal()
  expect(await run(['members', '--server', oak.url.replace('http://', '')], terminal)).toBe(exitCodes.ok)
})

test('a word that is nearly a command is one line with the command that may be meant', async () => {
  const { terminal, stderr } = fakeTerminal({ isTTY: true })
  expect(await run(['gosip'], terminal)).toBe(exitCodes.usage)
  expect(stderr.text).toMatch(/^GRAPEVINE_USAGE: .* unknown command 'gosip' \(Did you mean gossip\?\)\. .*\n$/)
})

test('--version is a version and nothing else', async () => {
  const { terminal, stdout } = fakeTerminal()
  expect(await run(['--version'], terminal)).toBe(exitCodes.ok)
  expect(stdout.text).toMatch(/^\d+\.\d+\.\d+\n$/)
})

test('help with the name of a command is what --help says', async () => {
  const [help, flag] = [fakeTerminal(), fakeTerminal()]
  expect(await run(['help', 'lab', 'split'], help.terminal)).toBe(exitCodes.ok)
  await run(['lab', 'split', '--help'], flag.terminal)
  expect(help.stdout.text).toBe(flag.stdout.text)
})

test('a peer that would listen to strangers is refused', async () => {
  const { terminal, stderr } = fakeTerminal()
  expect(await run(['peer', '--http', '0.0.0.0:8400'], terminal)).toBe(exitCodes.failed)
  expect(stderr.text).toContain('GRAPEVINE_INSECURE_LISTEN: ')
})
