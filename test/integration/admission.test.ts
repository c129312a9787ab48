// Goal: a secret keeps strangers out of a mesh of real peers, and can be changed while the mesh works. Method: processes with
// secret files; one at a time is started again with another file, as an operator would.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { logged } from './bad-input/bad-input.ts'
import { eventually, ProcessPeer } from './process-peer.ts'

const [old, current] = ['o'.repeat(64), 'c'.repeat(64)]
const names = ['oak', 'elm', 'ash'] as const
const peers = new Map<string, ProcessPeer>()
const at = (name: string): ProcessPeer => peers.get(name) as ProcessPeer
let directory = ''

async function start(name: string, secrets: readonly string[] | undefined, join_: readonly string[]) {
  const file = join(directory, `${name}.secret`)
  if (secrets !== undefined) await writeFile(file, secrets.join('\n'))
  const flags = secrets === undefined ? [] : ['--secret-file', file]
  const peer = await ProcessPeer.start({ name, data: join(directory, name), join: join_, flags })
  peers.set(name, peer)
  return peer
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'grapevine-admission-'))
  const oak = await start('oak', [old], [])
  for (const name of ['elm', 'ash']) await start(name, [old], [oak.listen])
})

afterAll(async () => {
  for (const peer of peers.values()) await peer[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

const isWhole = async (): Promise<boolean> => {
  const views = await Promise.all(names.map((name) => at(name).client.members()))
  return views.every((members) => members.filter(({ state }) => state === 'alive').length === names.length)
}

test('who does not know the secret is refused and named, is told why, and joins nothing', async () => {
  await eventually('three peers know each other', isWhole)
  const fir = () => start('fir', [current], [at('oak').listen])
  const line = await logged(at('oak'), /"stranger refused"/, async () => void (await fir()))
  expect(line).toContain('it does not know the secret of this cluster')
  await start('yew', undefined, [at('oak').listen])
  for (const name of ['fir', 'yew']) {
    await eventually('it is told why', async () => {
      return JSON.stringify(await at(name).client.links()).includes('it does not know the secret of this cluster')
    })
    expect(await at(name).client.members()).toHaveLength(1)
    await at(name).end('SIGTERM')
  }
  expect(await at('elm').client.members()).toHaveLength(3)
})

test('the secret is changed, one peer after the other, and every publish meanwhile reaches all copies', async () => {
  let published = 0
  const publish = async () => {
    const { reached } = await at('elm').client.publish('orders', published++, { ack: 'all', wait: '20s' })
    expect(reached).toBe(true)
  }
  for (const secrets of [[old, current], [current]]) {
    for (const name of names) {
      await at(name).end('SIGTERM')
      await writeFile(join(directory, `${name}.secret`), secrets.join('\n'))
      peers.set(name, await at(name).restart())
      await eventually('all know each other again', isWhole)
      await publish()
    }
  }
})
