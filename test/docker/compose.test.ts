// Goal: the image runs as it is meant to, and five containers of `docker/compose.yaml` are a mesh: the engine cuts some
// off, every side publishes, and after the heal all hold the same, hash by hash. Method: a real engine. A container that
// is cut off has lost its published port too, so there the CLI speaks for it from inside.
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest'
import { eventually } from '#test/integration/process-peer'
import { isConverged, readAll } from '#test/integration/topic-contents'
import { ComposeMesh, type ContainerPeer, grapevine, jsonLines } from './compose-mesh.ts'
import { docker } from '#lab/programs'

const perSide = 200
const convergeMsMax = 30_000
/** Whom nobody else accuses has six times as long to refute, and who hears nobody takes up to eight times as long to ask. */
const deadMsMax = 90_000
/** The first build fetches packages, and maybe the base image. */
const buildMsMax = 600_000
/** Five Node processes at once, on a machine that may be busy. */
const startMsMax = 60_000

let mesh: ComposeMesh

beforeAll(async () => {
  mesh = await ComposeMesh.create()
  await timed('build the image', () => mesh.build())
  await timed('from up to five peers with links to all others', async () => {
    await mesh.up()
    await eventually('all see all', allLinked, startMsMax)
  })
}, buildMsMax + startMsMax)

afterAll(() => mesh[Symbol.asyncDispose](), 60_000)

test('what is published at one container is read at another', async () => {
  const { reached, home, peers, copies } = await mesh.peer('oak').client.publish('greetings', 'hello', { ack: 'all' })
  expect([reached, home.length]).toEqual([true, 3])
  // Oak need not be at home, and keeps what it has accepted all the same.
  expect(peers.toSorted()).toEqual([...new Set(['oak', ...home])].toSorted())
  expect(copies).toBe(peers.length)
  const { records } = await mesh.peer('yew').client.read('greetings')
  expect(records.map((record) => record.text())).toEqual(['hello'])
})

test.each([
  // It is back before anybody notices, but over the old connections nothing will ever arrive again.
  { who: 'elm is', names: ['elm'], duration: 'for a moment', untilDead: false },
  // Neither finds the other at the address that it had before.
  { who: 'elm and fir are', names: ['elm', 'fir'], duration: 'until all believe it', untilDead: true },
])('$who cut off $duration, and back at another address', async ({ names, untilDead }) => {
  const topic = `orders.${names.join('-')}`
  const cut = mesh.peers.filter(({ name }) => names.includes(name))
  const rest = mesh.peers.filter((peer) => !cut.includes(peer))
  onTestFailed(async () => {
    console.log(await mesh.logs())
    await Promise.allSettled(cut.map((peer) => mesh.heal(peer)))
  })
  await mesh.peer('oak').client.createTopic(topic, { replicas: 5 })
  const first = await mesh.peer('oak').client.publish(topic, 'first', { ack: 'all' })
  expect(first.copies).toBe(5)
  const addresses = await addressesOf(cut)
  await Promise.all(cut.map((peer) => mesh.cut(peer)))

  const [connected, ...alone] = await Promise.all([publishAt(rest, topic), ...cut.map((at) => publishAlone(at, topic))])
  if (untilDead) await allBelieve({ cut, rest }, 'dead')
  // Who takes the addresses meanwhile answers nothing.
  for (const _ of cut) await mesh.bringStranger()
  await timed('from the heal to the same at all five', async () => {
    await Promise.all(cut.map((peer) => mesh.heal(peer)))
    await eventually('all five hold the same', () => isConverged(mesh.peers, topic), convergeMsMax)
  })
  expect((await addressesOf(cut)).filter((address) => addresses.includes(address))).toEqual([])

  // What every peer says of every replica, itself included: 25 times the same heads and hashes.
  const told = await Promise.all(mesh.peers.map(({ client }) => client.topicStatus(topic)))
  expect(told.map(({ converged, replicas }) => [converged, replicas.length])).toEqual(told.map(() => [true, 5]))
  expect(new Set(told.flatMap(({ replicas }) => replicas.map(({ feeds }) => headsIn(feeds)))).size).toBe(1)
  const published = ['first', ...connected, ...alone.flat()].toSorted()
  for (const peer of mesh.peers) expect((await readAll(peer, topic)).map(valueIn).toSorted()).toEqual(published)
  await eventually('all see all again', allLinked)
})

test('peers find each other by one name with the addresses of all of them', async () => {
  // As the service of a StatefulSet is: nobody is told of anybody else, nor of itself.
  const options = ['--network', mesh.network, '--network-alias', 'grove']
  const grove = await Promise.all(
    ['bay', 'box', 'fig'].map((name) =>
      mesh.start(options, ['peer', '--name', name, '--cluster', 'grove', '--join', 'grove:7400', '--insecure']),
    ),
  )
  const lookup = "require('dns').lookup('grove', { all: true }, (_, found) => console.log(found.length))"
  await eventually('the name has three addresses', async () => {
    return (await docker('exec', grove[0] ?? '', 'node', '--eval', lookup)) === '3'
  })
  await eventually('each sees all three', async () => {
    const seen = await Promise.all(grove.map((container) => statesInside({ container })))
    return seen.every((states) => ['bay', 'box', 'fig'].every((name) => states[name] === 'alive'))
  })
})

test('a container that is told to stop says good-bye and ends with 0', async () => {
  const { container } = mesh.peer('yew')
  await docker('stop', '--time', '20', container)
  expect(await docker('inspect', '--format', '{{.State.ExitCode}}', container)).toBe('0')
  await eventually('the others know that yew left', async () => {
    const states = await Promise.all(mesh.peers.filter(({ name }) => name !== 'yew').map(statesAt))
    return states.every((states) => states['yew'] === 'left')
  })
})

test('a peer runs on a read-only root, as nobody special, and its health is seen', async () => {
  const options = [
    '--read-only',
    '--tmpfs',
    '/tmp',
    '--cap-drop',
    'ALL',
    '--health-interval',
    '1s',
    '--health-retries',
    '1',
  ]
  const bay = await mesh.start(options, ['peer', '--name', 'bay', '--insecure'])
  const health = () => docker('inspect', '--format', '{{.State.Health.Status}}', bay)
  await eventually('bay is healthy', async () => (await health()) === 'healthy')
  expect(await grapevine(bay, ['pub', 'orders', 'pears'])).toMatchObject({ exitCode: 0 })
  const { stdout } = await grapevine(bay, ['sub', 'orders', '--from', 'earliest', '--until-caught-up', '-o', 'value'])
  expect(stdout).toBe('pears\n')
  expect(await docker('exec', bay, 'id', '--user', '--name')).toBe('node')
  await expect(docker('exec', bay, 'touch', '/app/cli/new')).rejects.toThrow('Read-only file system')
  await expect(docker('exec', bay, 'test', '-e', '/app/node_modules/node')).rejects.toThrow('ended with 1')
  // A process that is there and does not answer.
  await docker('kill', '--signal', 'STOP', bay)
  await eventually('bay is not healthy any more', async () => (await health()) === 'unhealthy')
})

/** Publishes around the peers of one side; every record must be accepted. Returns the values. */
async function publishAt(side: readonly ContainerPeer[], topic: string): Promise<readonly string[]> {
  const values = valuesOf('connected')
  for (const [i, value] of values.entries()) {
    const { reached } = await (side[i % side.length] as ContainerPeer).client.publish(topic, value)
    expect(reached).toBe(true)
  }
  const query = 'ack=all&wait=300ms'
  const options = { method: 'POST', body: 'wide', headers: { 'content-type': 'text/plain' } }
  const wide = await fetch(`${side[0]?.http}/v1/topics/${topic}/records?${query}`, options)
  expect(wide.status).toBe(202)
  return [...values, 'wide']
}

/** The same from inside of a container that nobody reaches. */
async function publishAlone({ container, name }: ContainerPeer, topic: string): Promise<readonly string[]> {
  const values = valuesOf(name)
  const all = await grapevine(container, ['pub', topic, '--lines'], values.map((value) => `${value}\n`).join(''))
  expect(all).toMatchObject({ exitCode: 0 })
  expect(jsonLines(all)).toMatchObject([{ records: perSide, ack: { level: 'local', reached: true, copies: 1 } }])
  const lonely = await grapevine(container, ['pub', topic, `lonely ${name}`, '--ack', 'all', '--wait', '300ms'])
  // 3 is how the CLI says 202.
  expect(lonely).toMatchObject({ exitCode: 3 })
  expect(jsonLines(lonely)).toMatchObject([{ reached: false, copies: 1, peers: [name] }])
  return [...values, `lonely ${name}`]
}

const valuesOf = (side: string): readonly string[] => Array.from({ length: perSide }, (_, i) => `${side} ${i}`)

/** State by name. */
type States = Readonly<Record<string, string>>
interface Seen {
  readonly name: string
  readonly state: string
}

const statesOf = (members: readonly Seen[]): States =>
  Object.fromEntries(members.map(({ name, state }) => [name, state]))
const statesAt = async ({ client }: ContainerPeer): Promise<States> => statesOf(await client.members())
const statesInside = async ({ container }: Pick<ContainerPeer, 'container'>): Promise<States> =>
  statesOf(jsonLines<Seen>(await grapevine(container, ['members', '-o', 'json'])))

/** Each peer that is cut off believes this of all others, and the rest believes it of each of them. */
async function allBelieve(
  { cut, rest }: { readonly cut: readonly ContainerPeer[]; readonly rest: readonly ContainerPeer[] },
  state: string,
): Promise<void> {
  await eventually(`the rest believes those who are cut off ${state}`, async () => {
    const seen = await Promise.all(rest.map(statesAt))
    return seen.every((states) => cut.every(({ name }) => states[name] === state))
  })
  const doAll = async (): Promise<boolean> => {
    const seen = await Promise.all(cut.map(async (peer) => ({ peer, states: await statesInside(peer) })))
    return seen.every(({ peer, states }) => mesh.peers.every((other) => other === peer || states[other.name] === state))
  }
  await eventually(`those who are cut off believe all others ${state}`, doAll, deadMsMax)
}

async function allLinked(): Promise<boolean> {
  const seen = await Promise.all(mesh.peers.map(({ client }) => client.members()))
  return seen.every(
    (members) =>
      members.length === mesh.peers.length &&
      members.every(({ state, self, linked }) => state === 'alive' && (self || linked)),
  )
}

const addressesOf = (peers: readonly ContainerPeer[]): Promise<readonly string[]> =>
  Promise.all(peers.map(({ container }) => mesh.addressOf(container)))

const headsIn = (feeds: readonly { feed: string; nextOffset: number; hash: string }[]): string =>
  feeds
    .map(({ feed, nextOffset, hash }) => `${feed} ${nextOffset} ${hash}`)
    .toSorted()
    .join('\n')

/** Of `id value`. */
const valueIn = (line: string): string => line.slice(line.indexOf(' ') + 1)

/** Whoever reads the log of CI wants to know how long it took. */
async function timed(what: string, act: () => Promise<unknown>): Promise<void> {
  const startedMs = performance.now()
  await act()
  console.log(`${what}: ${((performance.now() - startedMs) / 1_000).toFixed(1)} s`)
}
