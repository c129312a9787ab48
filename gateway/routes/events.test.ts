// Events of the mesh over HTTP: a page, a page that waits, a stream that resumes; and what is told of those that have gone.
import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { MeshError } from '#protocol/errors'
import { createGateway } from '../app.ts'
import { gatewayDefaults, type GatewayConfig } from '../config.ts'
import { FakeBroker } from '../fake-broker.ts'
import { LiveReads } from '../live-reads.ts'

function gateway(config: Partial<GatewayConfig> = {}) {
  const broker = new FakeBroker()
  const full = { ...gatewayDefaults, ...config }
  const liveReads = new LiveReads(full.readersMax)
  const app = createGateway({ broker, config: full, liveReads })
  const get = (query = '', headers: Record<string, string> = {}) =>
    app.request(`/v1/mesh/events${query}`, { headers }) as Promise<Response>
  return { broker, events: broker.events, liveReads, get }
}

interface Page {
  readonly events: readonly { readonly text: string }[]
  readonly last?: string
  readonly gap?: object
}

async function pageOf(answer: Promise<Response>) {
  const { events, ...rest } = (await (await answer).json()) as Page
  return { ...rest, texts: events.map(({ text }) => text) }
}

const stream = { accept: 'text/event-stream' }

/** Reads the body until it has so many blank lines, then leaves. */
async function firstOf(answer: Response, count: number): Promise<string[]> {
  let text = ''
  const decoder = new TextDecoder()
  for await (const bytes of answer.body as AsyncIterable<Uint8Array>) {
    text += decoder.decode(bytes)
    if (text.split('\n\n').length > count) break
  }
  return text.split('\n\n').slice(0, count)
}

test('a page has what is kept, and the id to go on after', async () => {
  const { events, get } = gateway()
  expect(await pageOf(get())).toEqual({ texts: [] })
  events.happens('one', 'two', 'three')
  expect(await pageOf(get('?limit=2'))).toEqual({ texts: ['one', 'two'], last: 'boot1.2' })
  expect(await pageOf(get('?after=boot1.2'))).toEqual({ texts: ['three'], last: 'boot1.3' })
  expect(await pageOf(get('?from=latest'))).toEqual({ texts: [], last: 'boot1.3' })
  for (const query of ['?from=2', '?limit=0', '?wait=2h', '?since=1']) expect((await get(query)).status).toBe(400)
})

test('a page tells how many have gone, and that an id is of another boot', async () => {
  const { events, get } = gateway()
  events.happens('one', 'two', 'three', 'four', 'five', 'six', 'seven')
  const gap = { reason: 'moved-on', missed: 2 }
  expect(await pageOf(get('?after=boot1.1'))).toEqual({ gap, texts: ['four', 'five', 'six', 'seven'], last: 'boot1.7' })
  expect(await pageOf(get('?after=boot0.6'))).toMatchObject({ gap: { reason: 'other-boot' }, last: 'boot1.7' })
})

test('a page that waits comes with the next event, or empty when the peer drains', async () => {
  const { events, liveReads, get } = gateway()
  events.happens('one')
  const next = pageOf(get('?after=boot1.1&wait=60s'))
  while (liveReads.count === 0) await turn()
  events.happens('two')
  expect(await next).toEqual({ texts: ['two'], last: 'boot1.2' })
  const last = pageOf(get('?after=boot1.2&wait=60s'))
  while (liveReads.count === 0) await turn()
  liveReads.drain()
  expect(await last).toEqual({ texts: [], last: 'boot1.2' })
  expect([liveReads.count, events.listenerCount]).toEqual([0, 0])
})

test('a stream goes on from its last id, live, and leaves nothing behind', async () => {
  const { events, liveReads, get } = gateway()
  events.happens('one', 'two')
  const answer = await get('?from=earliest', { ...stream, 'last-event-id': 'boot1.1' })
  expect(answer.headers.get('content-type')).toBe('text/event-stream')
  const told = firstOf(answer, 3)
  while (events.listenerCount === 0) await turn()
  events.happens('three')
  const [retry, two, three] = await told
  expect(retry).toMatch(/^retry: \d+$/)
  expect(two).toMatch(/^id: boot1\.2\ndata: \{"id":"boot1\.2","type":"suspected",.*"text":"two"\}$/)
  expect(three).toContain('"text":"three"')
  expect([liveReads.count, events.listenerCount]).toEqual([0, 0])
})

test('a stream begins with what comes; who is too slow is told how many have gone', async () => {
  const { events, get } = gateway()
  events.happens('one')
  const answer = await get('', stream)
  // The socket takes nothing meanwhile.
  events.happens('two', 'three', 'four', 'five', 'six', 'seven', 'eight')
  const [, gap, first] = await firstOf(answer, 3)
  expect(gap).toBe('event: gap\ndata: {"reason":"moved-on","missed":3}')
  expect(first).toContain('"text":"five"')
})

test('a stream says something when nothing happens, and good-bye when the peer drains', async () => {
  const { liveReads, get } = gateway({ heartbeatMs: 5 })
  expect(await firstOf(await get('', stream), 3)).toEqual([expect.stringMatching(/^retry/), ':', ':'])
  const ended = (await get('', stream)).text()
  while (liveReads.count === 0) await turn()
  liveReads.drain()
  expect(await ended).toMatch(/event: bye\n/)
})

test('streams count among the live reads, which are bounded', async () => {
  const { get, liveReads } = gateway({ readersMax: 1 })
  const leave = liveReads.begin(() => {})
  const refused = await get('', stream)
  expect(refused.status).toBe(503)
  expect(await refused.json()).toMatchObject({ code: new MeshError('OVERLOADED').code })
  leave()
  expect((await get('', stream)).status).toBe(200)
})
