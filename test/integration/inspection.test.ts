// Goal: what a split and its heal are told as, at both sides of it (P8). Method: three real peers, cut by lab mode (silence, sockets
// stay open) for longer than every timeout, with publishes on both sides, one of which is a retry of one on the other.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { HealView, MeshEvent } from '#protocol/views'
import { eventually, type ProcessPeer, sees, startMesh } from './process-peer.ts'
import { isConverged } from './topic-contents.ts'

const names = ['oak', 'elm', 'ash'] as const
let directory = ''
let peers: ProcessPeer[] = []
let [oak, elm, ash]: ProcessPeer[] = []

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'grapevine-inspection-'))
  peers = await startMesh(directory, names)
  ;[oak, elm, ash] = peers
})

afterAll(async () => {
  for (const peer of peers) await peer[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

async function islandsAt({ client }: ProcessPeer): Promise<string> {
  const { islands } = await client.partitions()
  return islands
    .map(({ members }) =>
      members
        .map(({ name }) => name)
        .toSorted()
        .join(' '),
    )
    .join(' | ')
}

const namesOf = (members: readonly { readonly name: string }[]): string[] => members.map(({ name }) => name).toSorted()

/** Its heals of that side. On a busy machine a peer may take another one of its own side for dead meanwhile, and says so. */
async function healsAt({ client }: ProcessPeer, theirs: string): Promise<readonly HealView[]> {
  return (await client.heals()).filter((heal) => namesOf(heal.theirs).join(' ') === theirs)
}

test('a split is told at both sides, and the heal with what it has merged', async () => {
  if (!oak || !elm || !ash) throw new Error('the mesh is up')
  expect(await oak.client.publish('orders', 'before', { ack: 'all' })).toMatchObject({ reached: true })
  expect(await oak.client.partitions()).toMatchObject({ split: false, islands: [{ side: 'ours' }] })
  await oak.client.lab.drop(['elm', 'ash'])
  await elm.client.lab.drop(['oak'])
  await ash.client.lab.drop(['oak'])
  for (let n = 0; n < 5; n++) await oak.client.publish('orders', `alone ${n}`)
  await oak.client.publish('orders', 'twice', { idempotencyKey: 'k1' })
  await elm.client.publish('orders', 'twice', { idempotencyKey: 'k1' })
  for (let n = 0; n < 3; n++) await ash.client.publish('orders', `together ${n}`, { ack: 'n:2' })
  await eventually('the sides tell of each other', async () => {
    if (!oak || !elm || !ash) return false
    const told = [await islandsAt(oak), await islandsAt(elm), await islandsAt(ash)]
    return told.join(', ') === 'oak | ash elm, ash elm | oak, ash elm | oak'
  })
  const { islands } = await oak.client.partitions()
  expect(islands[1]?.members[0]?.reason).toMatch(/no answer|silent|not refuted/)
  expect(islands[1]?.sinceStart).toBeUndefined()

  for (const peer of peers) await peer.client.lab.heal()
  await eventually('all peers hold the same', () => isConverged(peers, 'orders'))
  const reports = (): Promise<(readonly HealView[])[]> =>
    Promise.all(peers.map((peer) => healsAt(peer, peer === oak ? 'ash elm' : 'oak')))
  await eventually('both sides tell that all is merged', async () =>
    (await reports()).every((heals) => heals[0]?.state === 'merged'),
  )
  const heals = await reports()
  expect(heals.map(({ length }) => length)).toEqual([1, 1, 1])
  const [atOak, atElm, atAsh] = heals.map(([heal]) => heal)
  expect([namesOf(atOak?.ours ?? []), namesOf(atOak?.theirs ?? [])]).toEqual([['oak'], ['ash', 'elm']])
  expect([namesOf(atElm?.ours ?? []), namesOf(atElm?.theirs ?? [])]).toEqual([['ash', 'elm'], ['oak']])
  // Over there one record of elm and three of ash were published; here five, and one that is the copy of elm's.
  expect(atOak).toMatchObject({ received: { records: 4, left: 0 }, duplicates: 1 })
  expect(atOak?.theirs.map(({ taken }) => taken)).toEqual([6, 6])
  for (const heal of [atElm, atAsh])
    expect(heal).toMatchObject({ received: { records: 6, left: 0 }, taken: { left: 0 } })
  // Oak tells both of them that it has all that is there, whoever brought it.
  expect([atElm, atAsh].map((heal) => heal?.taken.records)).toEqual([4, 4])
  expect(atOak?.durationMs).toBeGreaterThan(0)
  expect(Date.parse(atOak?.until ?? '')).toBeGreaterThan(Date.parse(atOak?.from ?? ''))
  await eventually('nobody is split', async () => {
    for (const peer of peers) if (!(await sees(peer, names, 'alive'))) return false
    return !(await elm?.client.partitions())?.split
  })
})

/** Is the event about that member? On a busy machine others may be lost and found meanwhile. */
function concerns({ type, name, lost = [], back = [], heal }: MeshEvent, member: string): boolean {
  const theirs = (heal as HealView | undefined)?.theirs ?? []
  const named = [name, ...(lost as string[]), ...(back as string[]), ...namesOf(theirs)]
  return type === 'started' || named.includes(member)
}

/** Reads the stream until that has come. */
async function eventsUntil(
  at: ProcessPeer,
  isLast: (event: MeshEvent) => boolean,
  headers: Record<string, string> = {},
): Promise<MeshEvent[]> {
  const url = `${at.http}/v1/mesh/events?from=earliest`
  const { body } = await fetch(url, { headers: { accept: 'text/event-stream', ...headers } })
  const events: MeshEvent[] = []
  let text = ''
  for await (const bytes of body as AsyncIterable<Uint8Array>) {
    text += new TextDecoder().decode(bytes)
    const blocks = text.split('\n\n')
    text = blocks.pop() ?? ''
    for (const block of blocks) {
      const data = /^data: (.*)$/m.exec(block)?.[1]
      if (data !== undefined && !/^event: /m.test(block)) events.push(JSON.parse(data) as MeshEvent)
    }
    if (events.some(isLast)) return events
  }
  throw new Error('the stream ended before that')
}

test('both sides have told it event by event, with reasons, and a reader goes on where it was', async () => {
  for (const [at, other] of [
    [oak, 'elm'],
    [elm, 'oak'],
    [ash, 'oak'],
  ] as const) {
    if (at === undefined) throw new Error('the mesh is up')
    const isLast = (event: MeshEvent) => event.type === 'merged' && concerns(event, other)
    const events = await eventsUntil(at, isLast)
    const story = events.filter((event) => concerns(event, other)).map(({ type }) => type)
    const seen = ['started', 'joined', 'suspected', 'dead', 'partition', 'returned', 'merged'] as const
    const places = seen.map((type) => story.indexOf(type))
    expect(story).toEqual(expect.arrayContaining([...seen]))
    expect(places.toSorted((a, b) => a - b)).toEqual(places)
    // What the other side believed of members of ours may make one of them dead for a moment: then it is healed later.
    await eventsUntil(at, (event) => event.type === 'healed' && concerns(event, other))
    const suspected = events.find(({ type, name }) => type === 'suspected' && name === other)
    expect(suspected?.text).toBe(`${other} suspected by ${suspected?.by}: ${suspected?.reason}`)
    expect(suspected?.reason).toMatch(/no answer|link/)
    const [first] = events
    const rest = await eventsUntil(at, isLast, { 'last-event-id': first?.id ?? '' })
    expect(rest.map(({ id }) => id).slice(0, events.length - 1)).toEqual(events.map(({ id }) => id).slice(1))
    const page = await at.client.events({ after: events.at(-2)?.id ?? '' })
    expect(page.events[0]).toMatchObject({ id: events.at(-1)?.id })
  }
})
