// Exit code 0 only if every member answers and holds the same records.
import { expect, test } from 'vitest'
import { FakeGateway } from '#test/fake-gateway'
import { fakeTerminal } from '#test/fake-terminal'
import { exitCodes } from '../exit-codes.ts'
import { run } from '../main.ts'

const feed = '12D3KooWoak.00000000000000aa'

/** oak, elm and ash know each other; `offsets` is how far each holds oak's feed of `orders`. */
async function mesh(offsets: Record<string, number>) {
  const gateways = await Promise.all(Object.keys(offsets).map((name) => FakeGateway.start(name)))
  for (const gateway of gateways) {
    gateway.append('orders', 'pears')
    gateway.members = gateways.map(({ name, peerId, url }) => ({ id: peerId, name, http: url, state: 'alive' }))
    gateway.status = () => ({ replicas: [replica(gateway, offsets[gateway.name] ?? 0)] })
  }
  const dispose = async () => void (await Promise.all(gateways.map((gateway) => gateway[Symbol.asyncDispose]())))
  return { gateways, url: gateways[0]?.url ?? '', [Symbol.asyncDispose]: dispose }
}

const replica = ({ peerId, name }: FakeGateway, nextOffset: number) => ({
  peer: peerId,
  name,
  role: 'home' as const,
  state: 'alive',
  current: true,
  lag: 0,
  feeds: [{ feed, floor: 0, nextOffset, hash: `hash-${nextOffset}` }],
})

async function verify(url: string, ...args: string[]) {
  const { terminal, stdout, stderr } = fakeTerminal()
  const code = await run(['verify', ...args, '--server', url], terminal)
  return { code, rows: stdout.json, stderr: stderr.text }
}

test('equal heads everywhere are converged', async () => {
  await using three = await mesh({ oak: 41, elm: 41, ash: 41 })
  const { code, stderr } = await verify(three.url)
  expect(code).toBe(exitCodes.ok)
  expect(stderr).toContain('3 peers hold the same records of 1 topic')
})

test('a peer that lags is named with topic and lag, exit code 4', async () => {
  await using three = await mesh({ oak: 41, elm: 41, ash: 29 })
  const { code, rows, stderr } = await verify(three.url, 'orders')
  expect(code).toBe(exitCodes.notConverged)
  expect(stderr).toContain(
    'GRAPEVINE_NOT_CONVERGED: Not all peers hold the same records. orders: ash lacks 12 records.',
  )
  expect(rows).toMatchObject([
    { agreement: 'equal' },
    { agreement: 'equal' },
    { peer: 'ash', agreement: 'behind', lag: 12 },
  ])
})

test('a member that does not answer is not converged, whatever the others hold', async () => {
  await using three = await mesh({ oak: 41, elm: 41, ash: 41 })
  await three.gateways[2]?.stop()
  const { code, stderr } = await verify(three.url)
  expect(code).toBe(exitCodes.notConverged)
  expect(stderr).toContain('orders: ash does not answer')
})

test('a member that dies while it is asked does not answer either', async () => {
  await using three = await mesh({ oak: 41, elm: 41, ash: 41 })
  const ash = three.gateways[2]
  if (ash !== undefined) {
    ash.intercept = (request) => request.url?.endsWith('/status') === true && Boolean(request.socket.destroy())
  }
  const { code, stderr } = await verify(three.url)
  expect(code).toBe(exitCodes.notConverged)
  expect(stderr).toContain('orders: ash does not answer')
})

test('a member whose port another peer has taken does not count twice', async () => {
  await using three = await mesh({ oak: 41, elm: 41, ash: 41 })
  const [oak, elm] = three.gateways
  if (oak === undefined || elm === undefined) throw new Error('the mesh has three')
  oak.members = oak.members.map((member) => (member.name === 'ash' ? { ...member, http: elm.url } : member))
  const { code, stderr } = await verify(three.url)
  expect(code).toBe(exitCodes.notConverged)
  expect(stderr).toContain('orders: ash does not answer')
})

test('a member that has said good-bye is not waited for, and that is said', async () => {
  await using three = await mesh({ oak: 41, elm: 41, ash: 41 })
  const [oak, , ash] = three.gateways
  await ash?.stop()
  if (oak !== undefined) oak.members = oak.members.map((m) => (m.name === 'ash' ? { ...m, state: 'left' } : m))
  const { code, stderr } = await verify(three.url)
  expect(code).toBe(exitCodes.ok)
  expect(stderr).toContain('ash has left the mesh and was not asked')
  expect(stderr).toContain('2 peers hold the same records of 1 topic')
})

test('--wait asks again until all are equal', async () => {
  const offsets = { oak: 41, elm: 41, ash: 29 }
  await using three = await mesh(offsets)
  const ash = three.gateways[2]
  let asked = 0
  if (ash !== undefined) ash.status = () => ({ replicas: [replica(ash, ++asked === 1 ? 29 : 41)] })
  expect((await verify(three.url, '--wait', '10s')).code).toBe(exitCodes.ok)
  expect(asked).toBe(2)
})

test('who is not at home need not hold a topic, but what it alone has is missing at home', async () => {
  await using three = await mesh({ oak: 41, elm: 41, ash: 0 })
  const ash = three.gateways[2] as FakeGateway
  ash.status = () => ({ replicas: [{ ...replica(ash, 0), role: 'other' }] })
  expect(await verify(three.url)).toMatchObject({ code: exitCodes.ok, rows: [{ peer: 'oak' }, { peer: 'elm' }] })
  ash.status = () => ({ replicas: [{ ...replica(ash, 43), role: 'other' }] })
  expect((await verify(three.url)).stderr).toContain('orders: oak lacks 2 records; orders: elm lacks 2 records')
})

test('a topic that no member knows is an error, not convergence', async () => {
  await using three = await mesh({ oak: 41, elm: 41 })
  const { code, stderr } = await verify(three.url, 'odrers')
  expect(code).toBe(exitCodes.failed)
  expect(stderr).toContain('no member knows odrers')
})
