// What `grapevine token` does to its file: hashes and no tokens, whole or not at all, and no word about anything on stdout but the token.
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { parseToken, parseTokenFile } from '#protocol/token-file'
import { FakeGateway } from '#test/fake-gateway'
import { fakeTerminal } from '#test/fake-terminal'
import { exitCodes } from '../exit-codes.ts'
import { run } from '../main.ts'

let directory = ''
let file = ''

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'grapevine-token-'))
  file = join(directory, 'tokens.json')
})

afterEach(() => rm(directory, { recursive: true, force: true }))

async function grapevine(args: readonly string[], env: Record<string, string> = {}) {
  const { terminal, stdout, stderr } = fakeTerminal()
  const code = await run(args, { ...terminal, env })
  return { code, out: stdout.text, err: stderr.text }
}

const token = (...args: string[]) => grapevine(['token', ...args, '--tokens-file', file])

test('create prints the token once, and the file has its hash and its grants', async () => {
  const { code, out } = await token(
    'create',
    'shop',
    '--publish',
    'orders.**,bills',
    '--publish',
    'crates',
    '--expires',
    '1h',
  )
  expect(code).toBe(exitCodes.ok)
  const shown = parseToken(out.trim())
  const text = await readFile(file, 'utf8')
  expect(text).not.toContain(shown?.secret)
  const tokens = parseTokenFile(text)
  expect(tokens).toMatchObject([
    { id: shown?.id, name: 'shop', publish: ['orders.**', 'bills', 'crates'], subscribe: [] },
  ])
  expect((await stat(file)).mode & 0o777).toBe(0o600)
})

test('revoke leaves the line where it is, and says since when; what is not there is said', async () => {
  const id = (await token('create', 'ops', '--admin')).out.split('_')[1] as string
  expect((await token('revoke', id)).code).toBe(exitCodes.ok)
  const once = await readFile(file, 'utf8')
  await token('revoke', id)
  expect(await readFile(file, 'utf8')).toBe(once)
  expect((await token('ls')).out).toMatch(new RegExp(`"id":"${id}".*"state":"revoked `))
  expect(await token('revoke', 'nobody')).toMatchObject({
    code: exitCodes.usage,
    err: expect.stringContaining('no token nobody'),
  })
})

test.each<[string, string[], RegExp]>([
  ['no grants', ['create', 'shop'], /grants nothing/],
  ['a pattern that is none', ['create', 'shop', '--publish', 'a..b'], /publish\[0\]/],
  ['everything and something', ['create', 'shop', '--admin', '--publish', 'a'], /--admin/],
  ['a name that could act in a terminal', ['create', '\u001b[2J', '--admin'], /name/],
])('%s: the file is not made', async (_, args, complaint) => {
  expect(await token(...args)).toMatchObject({ code: exitCodes.usage, out: '', err: expect.stringMatching(complaint) })
  await expect(stat(file)).rejects.toMatchObject({ code: 'ENOENT' })
})

test('a file that is no such file stays as it is, and so does one that somebody else is changing', async () => {
  await writeFile(file, '{"tokens": [{}]}')
  expect(await token('create', 'ops', '--admin')).toMatchObject({
    err: expect.stringMatching(/CONFIG_INVALID.*tokens\[0\]/),
  })
  expect(await readFile(file, 'utf8')).toBe('{"tokens": [{}]}')
  await expect(stat(`${file}.next`)).rejects.toMatchObject({ code: 'ENOENT' })
  await rm(file)
  await writeFile(`${file}.next`, '')
  expect(await token('create', 'ops', '--admin')).toMatchObject({ err: expect.stringContaining('is being changed') })
})

test('two that change it at a time: one is refused, and nothing is lost', async () => {
  const made = await Promise.all([1, 2, 3].map((n) => token('create', `ops${n}`, '--admin')))
  const good = made.filter(({ code }) => code === exitCodes.ok)
  const tokens = parseTokenFile(await readFile(file, 'utf8'))
  expect(tokens).toHaveLength(good.length)
})

test('the token of a command goes into a header, from a file or the environment; never from its arguments', async () => {
  await using oak = await FakeGateway.start('oak')
  const seen: (string | undefined)[] = []
  oak.intercept = (request) => {
    seen.push(request.headers.authorization)
    return false
  }
  const tokenFile = join(directory, 'ops.token')
  await writeFile(tokenFile, 'gv_of-a-file\n')
  await grapevine(['topics', '--server', oak.url, '--token-file', tokenFile], {
    GRAPEVINE_TOKEN: 'gv_of-the-environment',
  })
  expect(new Set(seen.splice(0))).toEqual(new Set(['Bearer gv_of-a-file']))
  await grapevine(['topics', '--server', oak.url], { GRAPEVINE_TOKEN: 'gv_of-the-environment' })
  expect(new Set(seen.splice(0))).toEqual(new Set(['Bearer gv_of-the-environment']))
  await grapevine(['topics', '--server', oak.url])
  expect(new Set(seen.splice(0))).toEqual(new Set([undefined]))
  const missing = await grapevine(['topics', '--server', oak.url, '--token-file', join(directory, 'nowhere')])
  expect(missing).toMatchObject({ code: exitCodes.usage, err: expect.stringContaining('ENOENT') })
})
