// Goal: who has no token gets nothing of real peers, and one that is revoked at one of them is good at none. Two processes with
// one file of tokens, made by the command that people use; at the end nothing that was secret is in their logs or on their disks.
import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { connect } from '#client/mesh'
import type { StreamItem } from '#client/subscription'
import { run } from '#cli/main'
import { fakeTerminal } from '#test/fake-terminal'
import { cli, eventually, type ProcessPeer, startMesh } from './process-peer.ts'

let directory = ''
let tokensFile = ''
let admin = ''
let shop = ''
let peers: ProcessPeer[] = []
const peer = (name: string) => peers.find((one) => one.name === name) as ProcessPeer

async function grapevine(...args: string[]): Promise<string> {
  const { terminal, stdout, stderr } = fakeTerminal()
  const code = await run(args, terminal)
  if (code !== 0) throw new Error(stderr.text)
  return stdout.text.trim()
}

const create = (name: string, ...grants: string[]) =>
  grapevine('token', 'create', name, ...grants, '--tokens-file', tokensFile)

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'grapevine-auth-'))
  tokensFile = join(directory, 'tokens.json')
  admin = await create('ops', '--admin')
  shop = await create('shop', '--publish', 'orders.**', '--subscribe', 'orders.**', '--expires', '1h')
  // Long enough for a lazy client to have it in the log as it is: it is none of ours.
  const flags = ['--tokens-file', tokensFile, '--http', '0.0.0.0:0']
  peers = await startMesh(directory, ['oak', 'elm'], () => ({ token: admin, flags }))
})

afterEach(async () => {
  for (const one of peers) await one[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

const idOf = (token: string): string => token.split('_')[1] ?? ''

test('a token is good at every peer, for what it grants, until it is revoked at one of them', async () => {
  const [oak, elm] = [peer('oak'), peer('elm')]
  await expect(connect({ servers: [oak.http] })).rejects.toMatchObject({ code: 'AUTH_REQUIRED' })
  await using writer = await connect({ servers: [oak.http], token: shop, learnServers: false })
  await using reader = await connect({ servers: [elm.http], token: async () => shop, learnServers: false })
  const { id } = await writer.publish('orders.eu', 'pears')
  await expect(writer.publish('bills', 'pears')).rejects.toMatchObject({ code: 'FORBIDDEN' })
  await expect(writer.members()).rejects.toMatchObject({ code: 'FORBIDDEN' })
  const items = reader.stream('**', { from: 'earliest' })
  const record = await nextRecord(items)
  expect([record.record.id, record.record.text()]).toEqual([id, 'pears'])

  // At the other peer, by the mesh: a socket that is open, and a stream of events.
  const events = await fetch(`${elm.http}/v1/topics/orders.eu/records`, {
    headers: { accept: 'text/event-stream', authorization: `Bearer ${shop}` },
  })
  const ticket = await ticketAt(elm, shop)
  const socket = new WebSocket(`${elm.http.replace('http', 'ws')}/v1/ws?ticket=${ticket}`, 'grapevine.v1.json')
  const closed = new Promise<number>((resolve) => socket.once('close', resolve))
  await new Promise((resolve) => socket.once('message', resolve))
  const startedMs = performance.now()
  await oak.client.revokeToken(idOf(shop))
  expect(await events.text()).toContain('TOKEN_REVOKED')
  expect(await closed).toBe(4101)
  await expect(nextRecord(items)).rejects.toMatchObject({ code: 'TOKEN_REVOKED' })
  expect(performance.now() - startedMs).toBeLessThan(5_000)

  // And for good: the file still has it, but what the mesh was told is on each disk.
  await expect(connect({ servers: [elm.http], token: shop })).rejects.toMatchObject({ code: 'TOKEN_REVOKED' })
  await elm.end('SIGKILL')
  const again = await elm.restart()
  peers = peers.map((one) => (one.name === 'elm' ? again : one))
  await expect(connect({ servers: [again.http], token: shop })).rejects.toMatchObject({ code: 'TOKEN_REVOKED' })
  await nothingSecretIsKept([admin, shop, ticket])
})

async function nextRecord(items: AsyncGenerator<StreamItem, void>): Promise<Extract<StreamItem, { type: 'record' }>> {
  for (;;) {
    const { value } = await items.next()
    if (value?.type === 'record') return value
  }
}

async function ticketAt({ http }: ProcessPeer, token: string): Promise<string> {
  const answer = await fetch(`${http}/v1/tickets`, { method: 'POST', headers: { authorization: `Bearer ${token}` } })
  return ((await answer.json()) as { ticket: string }).ticket
}

/** Also after what people do wrong: tokens in URLs, in bodies, and as other schemes. */
async function nothingSecretIsKept(secrets: readonly string[]): Promise<void> {
  const { http } = peer('oak')
  await fetch(`${http}/v1/topics?token=${shop}&access_token=${admin}`)
  await fetch(`${http}/v1/topics/${admin}/records`, { headers: { authorization: `Basic ${admin}` } })
  await fetch(`${http}/v1/topics`, { headers: { authorization: `Bearer ${admin}x` } })
  for (const one of peers) await one.end('SIGTERM')
  const kept = [...peers.map(({ log }) => log), ...(await filesOf(directory))].join('\n')
  expect(kept).toContain('tokens were read')
  for (const secret of secrets) expect(kept).not.toContain(secret.split('_').at(-1))
}

async function filesOf(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  return Promise.all(files.map(({ parentPath, name }) => readFile(join(parentPath, name), 'latin1')))
}

test('a line that is revoked in the file counts at the peers that read it, and a new one is good', async () => {
  const { http } = peer('oak')
  const status = async (token: string) =>
    (await fetch(`${http}/v1/topics`, { headers: { authorization: `Bearer ${token}` } })).status
  expect(await status(shop)).toBe(200)
  await grapevine('token', 'revoke', idOf(shop), '--tokens-file', tokensFile)
  const other = await create('shop', '--publish', 'orders.**')
  await eventually(
    'the file was read',
    async () => (await status(other)) === 200 && (await status(shop)) === 401,
    5_000,
  )
  const listed = (await grapevine('token', 'ls', '--tokens-file', tokensFile, '-o', 'json')).split('\n')
  expect(listed.map((line) => (JSON.parse(line) as { name: string }).name)).toEqual(['ops', 'shop', 'shop'])
  expect(listed.join()).not.toContain('sha256')
})

test('a command takes its token from a file or from the environment, and says who refuses it otherwise', async () => {
  const { http } = peer('oak')
  const command = async (env: Record<string, string>, ...args: string[]) =>
    promisify(execFile)(process.execPath, [cli, ...args, '--server', http], { env: { ...process.env, ...env } })
  await expect(command({}, 'members')).rejects.toThrow(/GRAPEVINE_AUTH_REQUIRED/)
  const { stdout } = await command({ GRAPEVINE_TOKEN: admin }, 'members')
  expect(stdout).toMatch(/oak[^]*elm|elm[^]*oak/)
})
