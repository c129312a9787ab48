// Goal: every way in leads to the same records: curl, the EventSource of a browser, a raw WebSocket and the client library.
// Method: four real peers, each read in another way while all of them are published at; then the readers are cut off and
// go on from their cursors. Chromium is the one of this machine.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { OutgoingRecord, RecordJson } from '#client/record'
import { eventually, type ProcessPeer, startMesh } from '#test/integration/process-peer'
import { chromiumPath, startChromium } from './chromium.ts'
import {
  readFromSocket,
  readInBrowser,
  readLinesWithCurl,
  readWithCurl,
  readWithLibrary,
  type Reader,
} from './readers.ts'

if (chromiumPath === undefined) console.warn('browser: all skipped. They need Chromium, and none is on the PATH')

/** All forms of values, keys and headers, and whatever might end a line or an event too early. */
const samples: readonly ((n: number) => OutgoingRecord)[] = [
  (n) => ({ value: `${n} pears`, contentType: 'text/plain' }),
  (n) => ({ value: `dear Zoë,\r\n\r\nevent: ${n}\n\ndata: \u2028`, contentType: 'text/plain', key: 'two\nlines' }),
  (n) => ({
    value: { item: 'Äpfel', count: n, tags: ['a\n\nb', null] },
    contentType: 'application/json',
    key: `k${n % 7}`,
  }),
  (n) => ({ value: n, contentType: 'application/json', headers: { 'trace-id': `t${n}`, shop: 'Zürich\n2' } }),
  (n) => ({
    value: Uint8Array.of(0, 10, 10, 13, 255, n % 256),
    contentType: 'image/png',
    key: 'ключ',
    headers: { n: '' },
  }),
  () => ({ value: new Uint8Array(), contentType: 'application/octet-stream' }),
]

/** A record as far as its publisher knows it, as it shall be read. */
type Expected = Partial<RecordJson>

const started = new AsyncDisposableStack()
let browser: Browser
let peers: Record<'oak' | 'elm' | 'ash' | 'fir', ProcessPeer>

describe.skipIf(chromiumPath === undefined)('a topic that is read in four ways', () => {
  beforeAll(async () => {
    const directory = await mkdtemp(join(tmpdir(), 'grapevine-browser-'))
    started.defer(() => rm(directory, { recursive: true, force: true }))
    const mesh = await startMesh(directory, ['oak', 'elm', 'ash', 'fir'])
    for (const peer of mesh) started.use(peer)
    peers = Object.fromEntries(mesh.map((peer) => [peer.name, peer])) as typeof peers
    browser = await startChromium()
    started.defer(() => browser.close())
  })

  afterAll(() => started.disposeAsync())

  test('has the same records for curl, EventSource, a raw WebSocket and the library, at four peers', async () => {
    const { oak, elm, ash, fir } = peers
    const topic = 'orders'
    const first = await publish({ at: [oak], topic, count: 1, ack: 'all' })
    await using stack = new AsyncDisposableStack()
    const readers = [
      stack.use(await readInBrowser(browser, { at: elm, topic })),
      stack.use(readWithCurl({ at: oak, topic })),
      stack.use(readLinesWithCurl({ at: oak, topic })),
      stack.use(readFromSocket({ at: ash, topic })),
      stack.use(readWithLibrary({ at: fir, topic })),
    ]
    await haveRead(readers, 1)

    const published = [...first, ...(await publish({ at: [oak, elm, ash, fir], topic, count: 90 }))]
    await haveRead(readers, published.length)
    for (const { name, records } of readers) {
      expect(byFeed(records.map(asPublished)), name).toEqual(byFeed(published))
      expect(byFeed(records), name).toEqual(byFeed(readers[0]?.records ?? []))
      expectNumbered(records)
    }
  })

  test('goes on without gap or repeat: for EventSource when its peer is back, for others at another peer', async () => {
    const { oak, elm, ash, fir } = peers
    const topic = 'bills'
    const writers = [oak, ash, fir]
    const first = await publish({ at: [oak], topic, count: 1, ack: 'all' })
    await using stack = new AsyncDisposableStack()
    const inBrowser = stack.use(await readInBrowser(browser, { at: elm, topic }))
    const moving = [
      { read: readWithCurl, from: oak, to: fir },
      { read: readLinesWithCurl, from: fir, to: ash },
      { read: readFromSocket, from: ash, to: oak },
    ]
    const before = moving.map(({ read, from }) => stack.use(read({ at: from, topic })))
    await haveRead([inBrowser, ...before], 1)

    const publishing = publish({ at: writers, topic, count: 60 })
    await haveRead([inBrowser, ...before], 30)
    await Promise.all([elm.end('SIGKILL'), ...before.map((reader) => reader[Symbol.asyncDispose]())])
    const whileAway = [...(await publishing), ...(await publish({ at: writers, topic, count: 10 }))]
    peers.elm = started.use(await elm.restart())
    const after = moving.map(({ read, to }, i) => stack.use(read({ at: to, topic, cursor: before[i]?.cursor ?? '' })))
    const published = [...first, ...whileAway, ...(await publish({ at: Object.values(peers), topic, count: 10 }))]

    await haveRead([inBrowser], published.length)
    expect(inBrowser.opened).toBe(2)
    expect(byFeed(inBrowser.records.map(asPublished))).toEqual(byFeed(published))
    expectNumbered(inBrowser.records)
    for (const [i, { name, records }] of before.entries()) {
      const rest = after[i] as Reader
      await haveRead([rest], published.length - records.length)
      const all = [...records, ...rest.records]
      expect(byFeed(all.map(asPublished)), name).toEqual(byFeed(published))
      expect(byFeed(all), name).toEqual(byFeed(inBrowser.records))
    }
  })
})

const haveRead = (readers: readonly Reader[], count: number): Promise<void> =>
  eventually(`all have read ${count}`, () => {
    const behind = readers.filter(({ records }) => records.length < count)
    if (behind.length === 0) return Promise.resolve(true)
    throw new Error(behind.map(({ name, records }) => `${name} has read ${records.length}`).join(', '))
  })

interface Publishing {
  readonly at: readonly ProcessPeer[]
  readonly topic: string
  /** At each of the peers. */
  readonly count: number
  readonly ack?: string
}

/** At all of these peers at once, at each one record after the other. */
async function publish({ at, topic, count, ack = 'local' }: Publishing): Promise<Expected[]> {
  const ofWriters = at.map(async ({ client }) => {
    const published: Expected[] = []
    for (let n = 0; n < count; n++) {
      const record = (samples[n % samples.length] as (typeof samples)[number])(n)
      const { id } = await client.publish(topic, record.value, { ...record, ack })
      published.push({ id, ...expected(record) })
    }
    return published
  })
  return (await Promise.all(ofWriters)).flat()
}

function expected({ value, key, ...others }: OutgoingRecord): Expected {
  const rest = { ...others, ...(typeof key === 'string' && { key }) }
  return value instanceof Uint8Array
    ? { ...rest, valueBase64: Buffer.from(value).toString('base64') }
    : { ...rest, value }
}

const asPublished = ({
  feed: _feed,
  offset: _offset,
  time: _time,
  topic: _topic,
  producer: _producer,
  ...published
}: RecordJson): Expected => published

/** The records of a feed were published by one client here: they carry its numbers, from 0 in each of its epochs. */
function expectNumbered(records: readonly RecordJson[]): void {
  for (const ofFeed of byFeed(records).values()) {
    const producers = ofFeed.map(({ producer }) => producer as NonNullable<typeof producer>)
    expect(new Set(producers.map(({ id }) => id)).size).toBe(1)
    for (const [i, { epoch, seq }] of producers.entries()) {
      const before = producers[i - 1] ?? { epoch: -1, seq: -1 }
      if (epoch === before.epoch) expect(seq).toBe(before.seq + 1)
      else expect([epoch > before.epoch, seq]).toEqual([true, 0])
    }
  }
}

/** One order across writers is not promised: the order within each. */
const byFeed = <R extends Expected>(records: readonly R[]): Map<string, R[]> =>
  Map.groupBy(records, ({ id = '' }) => id.slice(0, id.lastIndexOf('.')))
