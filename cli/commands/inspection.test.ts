// What a mesh looks like from its peers: links as a matrix, splits and heals, events, and what the doctor finds.
import { expect, test } from 'vitest'
import type { HealView, LinkView, MemberView } from '#protocol/views'
import { FakeGateway, problem } from '#test/fake-gateway'
import { fakeTerminal } from '#test/fake-terminal'
import { exitCodes } from '../exit-codes.ts'
import { run } from '../main.ts'

/** Gateways that know each other, each member alive for each. */
async function mesh(...names: string[]) {
  const gateways = await Promise.all(names.map((name) => FakeGateway.start(name)))
  for (const gateway of gateways) {
    gateway.members = gateways.map((other) => memberOf(other, other === gateway))
    gateway.self = { version: '0.1.0', now: new Date().toISOString() }
    gateway.replication = { totals: healthy }
  }
  const dispose = async () => void (await Promise.all(gateways.map((gateway) => gateway[Symbol.asyncDispose]())))
  return { gateways, url: gateways[0]?.url ?? '', [Symbol.asyncDispose]: dispose }
}

const healthy = {
  diskFull: false,
  behindRecords: 0,
  behindFeeds: 0,
  damagedRecords: 0,
  lostRecords: 0,
  rangesFound: 0,
  rangesRepaired: 0,
  handedOff: 0,
  forgotten: 0,
  verifications: 0,
  followedTopics: 0,
  remoteReads: 0,
  waitingPublishes: 0,
}

const memberOf = ({ peerId: id, name, url: http }: FakeGateway, self: boolean): Partial<MemberView> => {
  return { id, name, self, http, state: 'alive', status: 'member', incarnation: 1, sinceMs: 1_000, addresses: [] }
}

const linkTo = ({ peerId, name }: FakeGateway, more: Partial<LinkView>): Partial<LinkView> => {
  return { peer: peerId, name, sinceMs: 1_000, ...more }
}

async function told(...args: string[]) {
  const { terminal, stdout, stderr } = fakeTerminal()
  const code = await run(args, terminal)
  return { code, stdout, stderr: stderr.text, lines: stdout.text.split('\n').filter((line) => line !== '') }
}

test('members -o wide shows all that there is of each', async () => {
  await using three = await mesh('oak')
  const [oak] = three.gateways as [FakeGateway]
  const more = { zone: 'attic', linked: true, suspectedBy: ['ash', 'fir'], deadInMs: 2_000, reason: 'no answer' }
  oak.members = [{ ...memberOf(oak, false), state: 'suspect', ...more }]
  const { lines } = await told('members', '-o', 'wide', '--server', three.url)
  expect(lines[0]).toMatch(/^NAME +STATE +STATUS .* SUSPECTED BY +DEAD IN +ZONE .* ID +WHY$/)
  expect(lines[1]).toMatch(/^oak +suspect +member .* up .* ash fir +2\.0s +attic .* 12D3KooWoak +no answer$/)
})

test('links is a matrix in which it shows what one end sees and the other does not', async () => {
  await using three = await mesh('oak', 'elm', 'ash')
  const [oak, elm, ash] = three.gateways as [FakeGateway, FakeGateway, FakeGateway]
  oak.links = [linkTo(elm, { state: 'up', rttMs: 1.5 }), linkTo(ash, { state: 'up' })]
  elm.links = [linkTo(oak, { state: 'up', rttMs: 2 }), linkTo(ash, { state: 'dialing' })]
  ash.links = [linkTo(oak, { state: 'down', lastError: 'connection refused' })]
  const table = await told('links', '-o', 'table', '--server', three.url)
  expect(table.lines.map((line) => line.replaceAll(/ {2,}/g, '  '))).toEqual([
    'FROM \\ TO  OAK  ELM  ASH',
    'oak  ·  2ms  up !',
    'elm  2ms  ·  dial',
    'ash  down !  -  ·',
    'ash → oak: connection refused',
  ])
  await elm.stop()
  const without = await told('links', '-o', 'table', '--server', three.url)
  expect(without.lines[2]).toMatch(/^elm +\? +· +\?$/)
  const { stdout } = await told('links', '--server', three.url)
  expect(stdout.json).toMatchObject([{ from: 'oak', links: oak.links }, { from: 'elm' }, { from: 'ash' }])
})

const away = { peer: '12D3KooWelm', name: 'elm', sinceMs: 3_000, by: 'oak', reason: 'no answer' }

test('partitions shows each side, since when and why', async () => {
  await using oak = await FakeGateway.start('oak')
  const since = '2026-05-01T10:00:00.000Z'
  oak.partitions = {
    split: true,
    islands: [
      { side: 'ours', since, sinceMs: 3_000, members: [{ peer: 'a', name: 'oak' }] },
      { side: 'away', since, sinceMs: 3_000, members: [away, { ...away, name: 'ash' }] },
    ],
  }
  const { lines } = await told('partitions', '-o', 'table', '--server', oak.url)
  expect(lines.slice(1).map((line) => line.trim().replaceAll(/ {2,}/g, '  '))).toEqual([
    'ours  3.0s  oak',
    'away  3.0s  elm ash  no answer',
  ])
  expect((await told('partitions', '--server', oak.url)).stdout.json).toEqual([oak.partitions])
})

const heal: HealView = {
  id: 1,
  state: 'merging',
  from: '2026-05-01T10:00:00.000Z',
  until: '2026-05-01T10:01:00.000Z',
  durationMs: 60_000,
  reason: 'no answer',
  ours: [{ peer: 'a', name: 'oak' }],
  theirs: [{ peer: 'b', name: 'elm', taken: 6, left: 2 }],
  received: { records: 4, left: 0, feeds: 1 },
  taken: { records: 6, left: 2 },
  duplicates: 1,
}

test('heals shows what moved each way, and what is still to come', async () => {
  await using oak = await FakeGateway.start('oak')
  expect(await told('heals', '--server', oak.url)).toMatchObject({ stderr: 'no heal since this peer started\n' })
  oak.heals = [{ ...heal, state: 'merged', mergedInMs: 1_200 }, heal]
  const { lines } = await told('heals', '-o', 'table', '--server', oak.url)
  expect(lines[1]).toMatch(/^2026-05-01T10:01:00\.000Z +1m 0s +oak +elm +4 +1 +6 \(2\) +merged in 1\.2s +no answer$/)
  expect(lines[2]).toMatch(/ merging +no answer$/)
})

test('events goes on from where it was until Ctrl-C, which is no failure', async () => {
  await using oak = await FakeGateway.start('oak')
  const event = { type: 'suspected', time: '2026-05-01T10:00:00.123Z' } as const
  oak.happens({ ...event, text: 'before' })
  const { terminal, stdout, stderr, stop } = fakeTerminal()
  const done = run(['events', '-o', 'table', '--server', oak.url], terminal)
  await expect.poll(() => oak.requests.some((request) => request.includes('from=latest'))).toBe(true)
  oak.happens({ ...event, text: 'ash suspected by elm: no answer to 3 indirect probes' })
  await expect
    .poll(() => stdout.text)
    .toBe('10:00:00.123  suspected         ash suspected by elm: no answer to 3 indirect probes\n')
  // It is away for a moment.
  let refusals = 0
  oak.intercept = (_, response) => {
    if (refusals++ > 0) return false
    problem(response, 'UNAVAILABLE')
    return true
  }
  oak.happens({ ...event, text: 'meanwhile' })
  oak.happens({ ...event, text: 'after that' })
  await expect.poll(() => stdout.text, { timeout: 10_000 }).toMatch(/meanwhile\n.*after that\n$/)
  expect(stderr.text).toContain('asking again')
  stop.abort()
  expect(await done).toBe(exitCodes.ok)
  const all = await told('events', '--from', 'earliest', '--no-follow', '--server', oak.url)
  expect(all.stdout.json).toMatchObject([1, 2, 3, 4].map((n) => ({ id: `boot1.${n}` })))
})

test('doctor says what is wrong and what to do, and tells the shell', async () => {
  await using three = await mesh('oak', 'elm')
  const [oak, elm] = three.gateways as [FakeGateway, FakeGateway]
  expect(await told('doctor', '-o', 'table', '--server', three.url)).toMatchObject({
    code: exitCodes.ok,
    lines: [],
    stderr: '2 members looked at: nothing is wrong\n',
  })
  elm.self = { ...elm.self, now: new Date(Date.now() + 5_000).toISOString() }
  const { code, stdout, stderr } = await told('doctor', '--server', three.url)
  expect(code).toBe(exitCodes.degraded)
  expect(stdout.json).toMatchObject([{ check: 'clock', severity: 'wrong', peer: 'elm', fix: expect.any(String) }])
  expect(stderr).toBe('2 members looked at: 1 thing is wrong\n')
  // Its gateway is gone; somebody listens where its port for peers is said to be, and then nobody does.
  const addresses = [new URL(oak.url).host]
  oak.members = [memberOf(oak, true), { ...memberOf(elm, false), addresses }]
  await elm.stop()
  const hidden = await told('doctor', '--server', oak.url)
  expect(hidden.stdout.json).toMatchObject([{ check: 'ports', peer: 'elm', what: expect.stringContaining('it runs') }])
  oak.members = [memberOf(oak, true), { ...oak.members[1], addresses: [] }]
  const gone = await told('doctor', '--server', oak.url)
  expect(gone.stdout.json).toMatchObject([{ peer: 'elm', what: expect.stringContaining('nor does its port') }])
})

test('doctor looks at the newest events, and not at what is long over', async () => {
  await using oak = await FakeGateway.start('oak')
  const nowMs = Date.parse('2026-05-01T10:00:00.000Z')
  oak.members = [memberOf(oak, true)]
  oak.self = { version: '0.1.0', now: new Date(nowMs).toISOString() }
  oak.replication = { totals: healthy }
  const strangerAt = (address: string, agoMs: number): void =>
    oak.happens({
      type: 'stranger-refused',
      time: new Date(nowMs - agoMs).toISOString(),
      text: 'refused',
      reason: 'it does not know the secret',
      address,
    })
  const secrets = async (): Promise<readonly unknown[]> => {
    const { stdout } = await told('doctor', '--server', oak.url)
    return stdout.json.filter((finding) => (finding as { check: string }).check === 'secret')
  }
  strangerAt('/ip4/10.0.0.8', 3 * 24 * 3_600_000)
  for (let n = 0; n < 1_200; n++) oak.happens({ type: 'joined', time: oak.self.now ?? '', text: 'ash joined' })
  expect(await secrets()).toEqual([])
  strangerAt('/ip4/10.0.0.9', 30_000)
  expect(await secrets()).toMatchObject([{ peer: 'oak', what: expect.stringContaining('/ip4/10.0.0.9') }])
})
