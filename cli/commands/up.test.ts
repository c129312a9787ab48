// One process per peer, from the first start to the last exit; a small fake stands in for the peer itself.
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { fakeTerminal } from '#test/fake-terminal'
import { newContext } from '../context.ts'
import type { StartedEvent } from '../local-peer.ts'
import { nextCommands, upCommand } from './up.ts'

const fakePeer = [process.execPath, fileURLToPath(new URL('../../test/fake-peer.ts', import.meta.url))]

let data: string
beforeEach(async () => void (data = await mkdtemp(join(tmpdir(), 'grapevine-up-'))))
afterEach(async () => {
  vi.unstubAllEnvs()
  await rm(data, { recursive: true })
})

function up(...args: string[]) {
  const screen = fakeTerminal()
  const program = new Command().addCommand(upCommand(newContext(screen.terminal), fakePeer))
  return { ...screen, done: program.parseAsync(['up', '--data', data, ...args], { from: 'user' }) }
}

const logOf = (peer: string): Promise<string> => readFile(join(data, peer, 'peer.log'), 'utf8')

test('the first peer is up before the others join it; the mesh is shown; a stop ends all of them', async () => {
  const { stdout, stderr, stop, done } = up('--peers', '3')
  await expect.poll(() => stderr.text, { timeout: 15_000 }).toContain('A mesh of 3 peers is up')
  const started = stdout.json as StartedEvent[]
  expect(started.map(({ name }) => name)).toEqual(['oak', 'elm', 'ash'])
  expect(new Set(started.map(({ http }) => http)).size).toBe(3)
  expect(await logOf('oak')).toBe('joins nobody\n')
  expect(await logOf('ash')).toBe(`joins ${started[0]?.listen[0]}\n`)
  expect(stderr.text).toContain('npx grapevine lab split oak / elm,ash')
  expect(stderr.text).toContain(`--until-caught-up --server ${started[2]?.http}\n`)
  stop.abort()
  await done
  expect(stderr.text).toMatch(/Stopped; .* keeps what the peers know\.\n$/)
})

test('the next commands are those of the README; where its ports were taken, a variable makes them work', async () => {
  const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8')
  const meshAt = (firstPort: number) =>
    ['oak', 'elm', 'ash'].map((name, i) => ({ name, http: `http://127.0.0.1:${firstPort + i}` }))
  for (const line of nextCommands(meshAt(8400))) expect(readme).toContain(`\n${line}\n`)
  const [variable, first, second] = nextCommands(meshAt(8410))
  expect(variable).toBe('export GRAPEVINE_SERVER=http://127.0.0.1:8410')
  expect(first).not.toContain('--server')
  expect(second).toMatch(/ --server http:\/\/127\.0\.0\.1:8412$/)
})

test('a peer that cannot start ends the others, and its own words say why', async () => {
  vi.stubEnv('FAKE_PEER_FAILS', 'elm')
  vi.stubEnv('FAKE_PEER_SAYS', 'GRAPEVINE_DATA_VERSION: The data directory is of another version.')
  await expect(up('--peers', '2').done).rejects.toMatchObject({
    code: 'PEER_EXITED',
    message: expect.stringMatching(/^elm: GRAPEVINE_DATA_VERSION: .*peer\.log/),
  })
})

test('a second start on the same data says that the mesh is running, and as which process', async () => {
  vi.stubEnv('FAKE_PEER_FAILS', 'oak')
  vi.stubEnv(
    'FAKE_PEER_SAYS',
    'GRAPEVINE_DATA_LOCKED: The data directory is in use. data/oak is used by process 312. Stop.',
  )
  await expect(up().done).rejects.toMatchObject({
    code: 'DATA_LOCKED',
    message: 'This mesh is already running: oak is process 312',
  })
})

test('a peer that dies later ends the others, too', async () => {
  vi.stubEnv('FAKE_PEER_DIES', 'oak')
  await expect(up('--peers', '1').done).rejects.toMatchObject({ message: expect.stringContaining('oak: exit code 7') })
})

test('a stop before all is up is no failure', async () => {
  const { stop, stderr, done } = up('--peers', '3')
  await expect.poll(() => logOf('oak').catch(() => ''), { timeout: 15_000 }).toContain('joins nobody')
  stop.abort()
  await done
  expect(stderr.text).not.toContain('GRAPEVINE_')
})
