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
import { upCommand } from './up.ts'

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
  stop.abort()
  await done
})

test('a peer that cannot start ends the others, and its own words say why', async () => {
  vi.stubEnv('FAKE_PEER_FAILS', 'elm')
  await expect(up('--peers', '2').done).rejects.toMatchObject({
    code: 'PEER_EXITED',
    message: expect.stringMatching(/^elm: GRAPEVINE_DATA_LOCKED: .*peer\.log/),
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
