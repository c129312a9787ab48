// Goal: a reader gives every record once, predecessors first, and its cursors go on anywhere.
// Method: writers make real batches; a shelf holds as much of them as the test says, like a peer that replicates.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { BatchReader, ReadBatch, ReadChunk, Reader } from '#gateway/broker'
import type { ReaderStart } from './read-source.ts'
import type { Epoch, PeerId, TopicId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { readBatchHeader, recordsOf } from '#protocol/log/batch'
import { decodeCursor } from '#protocol/log/cursor'
import { cursorWithin } from '#protocol/log/cursor-within'
import { writerHashOf } from '#protocol/log/version-vector'
import { textOf, utf8 } from '#protocol/text'
import { nodeDigests } from './node-digests.ts'
import { openReader, type ReadSource } from './reader.ts'
import { Shelf, topic, topicId, Writer } from './test-shelf.ts'

/** What a client makes of a batch: its records, each with the cursor after it. */
function recordsIn({ feed, bytes, from, skip, cursor: after }: ReadBatch) {
  const header = readBatchHeader(bytes)
  if (typeof header === 'string') throw new Error(header)
  const records = recordsOf(bytes, header)
  if (typeof records === 'string') throw new Error(records)
  const [peer, epoch] = feed.split('.') as [PeerId, Epoch]
  const writer = writerHashOf(peer, nodeDigests)
  return records.flatMap(({ value }, index) => {
    const offset = header.baseOffset + index
    const nextOffset = offset + 1
    if (offset < from || skip.some((range) => range.from <= offset && offset < range.to)) return []
    const at = { writer, epoch, nextOffset, hashPrefix: header.previousHash.slice(0, 8) }
    const cursor = nextOffset === header.nextOffset ? after : cursorWithin(after, at, nodeDigests)
    return [{ id: `${feed}.${offset}`, value, cursor }]
  })
}

const open = (source: ReadSource, from: ReaderStart = { type: 'earliest' }, wallMs = 1_000): BatchReader =>
  openReader({ source, topic, topicId, from, digests: nodeDigests, wallMs })

const goOn = (source: ReadSource, cursor: string): BatchReader => open(source, { type: 'cursor', cursor })

const valuesOf = (chunk: ReadChunk): (string | undefined)[] => chunk.records.map(({ record }) => textOf(record.value))

const rest = async (reader: Reader): Promise<(string | undefined)[]> => valuesOf(await reader.next(1_000))

const entriesOf = (cursor: string): number => {
  const state = decodeCursor(cursor, topicId, nodeDigests)
  return typeof state === 'string' ? -1 : state.entries.length
}

/** Two writers that take turns; oak restarted once and kept all it had. */
function orders() {
  const oak = new Writer('oak', 1).write(10, 'a0', 'a1', 'a2').write(40, 'a3')
  const again = oak.restarted(2).write(60, 'a4', 'a5').write(80, 'a6')
  const elm = new Writer('elm', 7).write(20, 'b0').write(30, 'b1', 'b2').write(70, 'b3')
  return { oak, again, elm, all: ['a0', 'a1', 'a2', 'b0', 'b1', 'b2', 'a3', 'a4', 'a5', 'b3', 'a6'] }
}

test('keys and headers count among the bytes that one read brings', async () => {
  const described = { key: utf8('key'), headers: { name: 'of some length' }, value: utf8('a') }
  const reader = open(new Shelf().hold(new Writer('oak', 1).writeRecords(1, [described, described, described])))
  expect((await reader.next(100, 22)).records).toHaveLength(1)
  expect((await reader.next(100, 23)).records).toHaveLength(2)
})

test('records come by time of their batches, and say whose they are', async () => {
  const { oak, again, elm, all } = orders()
  const chunk = await open(new Shelf().hold(again).hold(elm).hold(oak)).next(100)
  expect(valuesOf(chunk)).toEqual(all)
  expect(chunk.upToDate).toBe(true)
  expect(chunk.gaps).toBeUndefined()
  expect(chunk.records[7]?.record).toMatchObject({
    id: 'oak.0000000000000002.4',
    topic: 'orders',
    feed: 'oak.0000000000000002',
    offset: 4,
    timeMs: 60,
  })
})

test('from the cursor after any record, another peer gives exactly the rest', async () => {
  const { oak, again, elm, all } = orders()
  const { records, cursor } = await open(new Shelf().hold(oak).hold(again).hold(elm)).next(100)
  const elsewhere = new Shelf().hold(elm).hold(again).hold(oak)
  for (const [index, record] of records.entries()) {
    expect(await rest(goOn(elsewhere, record.cursor))).toEqual(all.slice(index + 1))
  }
  expect(cursor).toBe(records.at(-1)?.cursor)
})

test('chunks of any size give the same records as one large chunk', async () => {
  const { oak, again, elm, all } = orders()
  for (const limit of [1, 2, 3, 5]) {
    const reader = open(new Shelf().hold(oak).hold(again).hold(elm))
    const read: (string | undefined)[] = []
    for (let upToDate = false; !upToDate;) {
      const chunk = await reader.next(limit)
      expect(chunk.records.length).toBeLessThanOrEqual(limit)
      expect(reader.cursor).toBe(chunk.cursor)
      read.push(...valuesOf(chunk))
      upToDate = chunk.upToDate
    }
    expect(read).toEqual(all)
  }
})

test('batches of any number give the same records and the same cursors, made anew within them', async () => {
  const { oak, again, elm } = orders()
  const { records } = await open(new Shelf().hold(oak).hold(again).hold(elm)).next(100)
  for (const limit of [1, 4, 100]) {
    const reader = open(new Shelf().hold(oak).hold(again).hold(elm))
    const read: object[] = []
    for (let upToDate = false; !upToDate;) {
      const chunk = await reader.nextBatches(limit, limits.pageBytesMax)
      expect(reader.cursor).toBe(chunk.cursor)
      read.push(...chunk.batches.flatMap(recordsIn))
      upToDate = chunk.upToDate
    }
    expect(read).toEqual(records.map(({ record: { id, value }, cursor }) => ({ id, value, cursor })))
  }
})

test('a cursor within a batch goes on within it, in batches, too; nobody looks into the records', async () => {
  const elm = new Writer('elm', 7).write(20, 'b0', 'b1', 'b2')
  const shelf = new Shelf().hold(elm)
  const { cursor } = await open(shelf).next(1)
  const [batch, ...more] = (await goOn(shelf, cursor).nextBatches(1, 1)).batches
  const bytes = elm.batches[1]?.bytes
  expect(more).toEqual([])
  expect(batch).toMatchObject({ topic, feed: 'elm.0000000000000007', from: 1, skip: [], count: 2 })
  expect(batch?.bytes).toBe(bytes)
})

test('batches are bounded in bytes, and what is not kept is told between them', async () => {
  const elm = new Writer('elm', 7).write(20, 'b0').write(30, 'b1').write(40, 'b2')
  const shelf = new Shelf().hold(elm)
  const reader = open(shelf)
  expect(await reader.nextBatches(100, 1)).toMatchObject({ batches: [{ from: 0, count: 1 }], upToDate: false })
  shelf.hold(elm, elm.batches.length, { floor: 2 })
  expect(await reader.nextBatches(100, 1)).toMatchObject({
    batches: [{ from: 2, count: 1 }],
    gaps: [{ type: 'lost', from: 1, to: 2 }],
    upToDate: true,
  })
})

test('a successor that arrives before its predecessor is complete waits for it', async () => {
  const { oak, again } = orders()
  const shelf = new Shelf().hold(again)
  const reader = open(shelf)
  expect(await rest(reader)).toEqual([])
  shelf.hold(oak, 2)
  expect(await rest(reader)).toEqual(['a0', 'a1', 'a2'])
  shelf.hold(oak)
  expect(await rest(reader)).toEqual(['a3', 'a4', 'a5', 'a6'])
})

test('a successor waits for all generations before it, also when the one between wrote nothing', async () => {
  const first = new Writer('oak', 1).write(10, 'a0')
  const silent = first.restarted(2)
  const third = silent.restarted(3).write(30, 'a1')
  const shelf = new Shelf().hold(third).hold(silent)
  const reader = open(shelf)
  expect(await rest(reader)).toEqual([])
  shelf.hold(first)
  const chunk = await reader.next(10)
  expect(valuesOf(chunk)).toEqual(['a0', 'a1'])
  expect(entriesOf(chunk.cursor)).toBe(1)
})

test('what others hold of a predecessor beyond the link is delivered too, and kept in the cursor', async () => {
  const before = new Writer('oak', 1).write(10, 'a0').write(20, 'lost by oak')
  const after = before.restarted(2, 2).write(30, 'a1')
  const shelf = new Shelf().hold(before, 2).hold(after)
  const reader = open(shelf)
  expect(await rest(reader)).toEqual(['a0', 'a1'])
  expect(entriesOf(reader.cursor)).toBe(1)
  shelf.hold(before)
  expect(await rest(reader)).toEqual(['lost by oak'])
  expect(entriesOf(reader.cursor)).toBe(2)
  expect(await rest(goOn(shelf, reader.cursor))).toEqual([])
})

test('latest gives only what comes later: new records of known feeds, new runs, and feeds that appear', async () => {
  const { oak, again, elm } = orders()
  const ash = new Writer('ash', 9).write(50, 'old').write(1_001, 'new')
  const shelf = new Shelf().hold(oak)
  const reader = open(shelf, { type: 'latest' })
  expect(await rest(reader)).toEqual([])
  shelf.hold(again)
  expect(await rest(reader)).toEqual(['a4', 'a5', 'a6'])
  // Elm and ash were not known here when the read began: only what is later than that counts.
  shelf.hold(elm).hold(ash)
  expect(await rest(reader)).toEqual(['new'])
})

test('the cursor of latest means the same at a peer that knows other feeds', async () => {
  const { oak, again, elm } = orders()
  const { cursor } = open(new Shelf().hold(oak, 2), { type: 'latest' })
  expect(await rest(goOn(new Shelf().hold(elm).hold(oak).hold(again), cursor))).toEqual(['a3', 'a4', 'a5', 'a6'])
})

test('entries of feeds that a peer does not know survive a read there', async () => {
  const { oak, again, elm } = orders()
  const { cursor } = await open(new Shelf().hold(elm)).next(2)
  const onlyOak = await goOn(new Shelf().hold(oak).hold(again), cursor).next(100)
  expect(valuesOf(onlyOak)).toEqual(['a0', 'a1', 'a2', 'a3', 'a4', 'a5', 'a6'])
  expect(await rest(goOn(new Shelf().hold(oak).hold(again).hold(elm), onlyOak.cursor))).toEqual(['b2', 'b3'])
})

test('a peer that does not know the latest run yet gives nothing of the runs before it a second time', async () => {
  const { oak, again, elm } = orders()
  const { cursor } = await open(new Shelf().hold(oak).hold(again)).next(5)
  expect(entriesOf(cursor)).toBe(1)
  const shelf = new Shelf().hold(oak).hold(elm)
  const reader = goOn(shelf, cursor)
  // Of oak's first run it cannot tell here what the cursor implies: only the opening of the second says so.
  expect(await rest(reader)).toEqual(['b0', 'b1', 'b2', 'b3'])
  shelf.hold(again)
  expect(await rest(reader)).toEqual(['a5', 'a6'])
})

test('at a peer that is behind the cursor a reader waits', async () => {
  const { oak, elm } = orders()
  const { cursor } = await open(new Shelf().hold(oak).hold(elm)).next(100)
  const behind = new Shelf().hold(oak, 2).hold(elm, 1)
  const reader = goOn(behind, cursor)
  expect(await rest(reader)).toEqual([])
  oak.write(90, 'a4')
  behind.hold(oak)
  expect(await rest(reader)).toEqual(['a4'])
})

test.each([
  ['at the end of what is held', 4],
  ['inside a batch', 1],
  ['at the end of a batch', 3],
])('a cursor of another history is refused: %s', async (_, records) => {
  const ours = new Writer('oak', 1, undefined, 1).write(10, 'a0', 'a1', 'a2').write(40, 'a3')
  const theirs = new Writer('oak', 1, undefined, 2).write(10, 'x0', 'x1', 'x2').write(40, 'x3')
  const { cursor } = await open(new Shelf().hold(theirs)).next(records)
  // The histories part with the time of the opening batch, so no hash of one is in the other.
  const read = async () => goOn(new Shelf().hold(ours), cursor).next(10)
  await expect(read()).rejects.toMatchObject({ code: 'CURSOR_INVALID' })
})

test('a damaged cursor and one of another topic are refused when the reader opens', () => {
  const shelf = new Shelf().hold(orders().oak)
  const { cursor } = open(shelf)
  const other = 'ffeeddccbbaa99887766554433221100' as TopicId
  const atOther = () =>
    openReader({
      source: shelf,
      topic,
      topicId: other,
      from: { type: 'cursor', cursor },
      digests: nodeDigests,
      wallMs: 0,
    })
  expect(atOther).toThrow('another topic')
  expect(() => goOn(shelf, cursor.slice(0, -1))).toThrow('damaged')
})

test('records that are not kept any more are told as lost, and the cursor moves past them', async () => {
  const { oak, elm } = orders()
  const { cursor } = await open(new Shelf().hold(oak).hold(elm)).next(1)
  const trimmed = new Shelf().hold(oak, 3, { floor: 3 }).hold(elm, 4, { floor: 3 })
  const chunk = await goOn(trimmed, cursor).next(10)
  expect(valuesOf(chunk)).toEqual(['a3', 'b3'])
  // Elm is in no cursor yet: the reader was to come to its records all the same.
  expect(chunk.gaps).toEqual([
    { type: 'lost', feed: 'oak.0000000000000001', from: 1, to: 3 },
    { type: 'lost', feed: 'elm.0000000000000007', from: 0, to: 3 },
  ])
  expect(await rest(goOn(new Shelf().hold(oak), chunk.cursor))).toEqual([])
})

test('a feed of which nothing is kept is told as lost to its end', async () => {
  const { oak } = orders()
  const { cursor } = await open(new Shelf().hold(oak)).next(1)
  const reader = goOn(new Shelf().hold(oak, 3, { floor: 4 }), cursor)
  const chunk = await reader.next(10)
  expect(chunk.gaps).toEqual([{ type: 'lost', feed: 'oak.0000000000000001', from: 1, to: 4 }])
  expect(chunk.upToDate).toBe(true)
})

test('a reader that begins at the earliest begins at what is kept, without a word, and is told what goes from then on', async () => {
  const { oak, elm } = orders()
  const shelf = new Shelf().hold(oak, 3, { floor: 3 }).hold(elm)
  const reader = open(shelf)
  const first = await reader.next(1)
  expect([valuesOf(first), first.gaps]).toEqual([['b0'], undefined])
  shelf.hold(elm, 4, { floor: 3 })
  // Two records of a batch that was in hand are below the floor now.
  const next = await reader.next(10)
  expect(valuesOf(next)).toEqual(['a3', 'b3'])
  expect(next.gaps).toEqual([{ type: 'lost', feed: 'elm.0000000000000007', from: 1, to: 3 }])
})

test('the rest of a batch in hand goes with it when retention passes over it', async () => {
  const { oak } = orders()
  const shelf = new Shelf().hold(oak)
  const reader = open(shelf)
  expect(valuesOf(await reader.next(2))).toEqual(['a0', 'a1'])
  shelf.hold(oak, 3, { floor: 3 })
  const next = await reader.next(10)
  expect(next.gaps).toEqual([{ type: 'lost', feed: 'oak.0000000000000001', from: 2, to: 3 }])
  expect(valuesOf(next)).toEqual(['a3'])
})

test('a damaged range that nobody has is told as lost, exactly; what is on both sides of it is read', async () => {
  const { elm } = orders()
  const damaged = [{ from: 1, to: 3 }]
  const shelf = new Shelf().hold(elm, 4, { damaged })
  const reader = open(shelf)
  const waiting = await reader.next(10)
  expect(valuesOf(waiting)).toEqual(['b0'])
  expect(waiting.gaps).toEqual([{ type: 'late', feed: 'elm.0000000000000007', from: 1, to: 4 }])
  const woken = reader.more(new AbortController().signal)
  shelf.hold(elm, 4, { damaged, lost: damaged })
  await woken
  const chunk = await reader.next(10)
  expect(valuesOf(chunk)).toEqual(['b3'])
  expect(chunk.gaps).toEqual([{ type: 'lost', feed: 'elm.0000000000000007', from: 1, to: 3 }])
  const atEnd = await open(
    new Shelf().hold(elm, 4, { damaged: [{ from: 3, to: 4 }], lost: [{ from: 3, to: 4 }] }),
  ).next(9)
  expect(valuesOf(atEnd)).toEqual(['b0', 'b1', 'b2'])
  expect(atEnd.gaps).toEqual([{ type: 'lost', feed: 'elm.0000000000000007', from: 3, to: 4 }])
})

test('of a hole that is lost in part, the reader waits for the other part', async () => {
  const { elm } = orders()
  const shelf = new Shelf().hold(elm, 4, { damaged: [{ from: 0, to: 3 }], lost: [{ from: 0, to: 1 }] })
  const chunk = await open(shelf).next(10)
  expect(valuesOf(chunk)).toEqual([])
  expect(chunk.gaps).toEqual([{ type: 'late', feed: 'elm.0000000000000007', from: 0, to: 4 }])
})

test('a cursor whose feeds were forgotten is told what it missed of its writer, and goes on', async () => {
  const { oak } = orders()
  const { cursor } = await open(new Shelf().hold(oak)).next(2)
  const second = oak.restarted(2).write(60, 'a4')
  const third = second.restarted(3).write(70, 'a5')
  const fourth = third.restarted(4).write(80, 'a6')
  for (const [oldest, expected] of [
    [second, { from: 2, to: 4, values: ['a4', 'a5', 'a6'] }],
    [third, { from: 2, to: 5, values: ['a5', 'a6'] }],
    [fourth, { from: 2, to: 6, values: ['a6'] }],
  ] as const) {
    const shelf = new Shelf().hold(oldest, 2, { rooted: true })
    for (const after of [third, fourth]) if (after.feed.epoch > oldest.feed.epoch) shelf.hold(after)
    const reader = goOn(shelf, cursor)
    const chunk = await reader.next(10)
    expect(valuesOf(chunk)).toEqual(expected.values)
    const { from, to } = expected
    expect(chunk.gaps).toEqual([{ type: 'lost', feed: 'oak.0000000000000001', from, to }])
    expect((await goOn(shelf, chunk.cursor).next(10)).gaps).toBeUndefined()
  }
})

test('what comes before a forgotten feed is told once, also when all that is left is trimmed, too', async () => {
  const { oak } = orders()
  const { cursor } = await open(new Shelf().hold(oak)).next(2)
  const second = oak.restarted(2).write(60, 'a4').write(70, 'a5')
  const shelf = new Shelf().hold(second, 3, { rooted: true, floor: 5 })
  const chunk = await goOn(shelf, cursor).next(1)
  expect(valuesOf(chunk)).toEqual(['a5'])
  expect(chunk.gaps).toEqual([
    { type: 'lost', feed: 'oak.0000000000000001', from: 2, to: 4 },
    { type: 'lost', feed: 'oak.0000000000000002', from: 4, to: 5 },
  ])
})

test('a live reader is told of feeds that are forgotten under it', async () => {
  const { oak } = orders()
  const second = oak.restarted(2).write(60, 'a4')
  const third = second.restarted(3).write(70, 'a5')
  const shelf = new Shelf().hold(oak).hold(second).hold(third)
  const reader = open(shelf)
  expect(valuesOf(await reader.next(1))).toEqual(['a0'])
  shelf.forget(oak).forget(second).hold(third, 2, { rooted: true })
  const chunk = await reader.next(10)
  expect(chunk.gaps).toEqual([
    { type: 'lost', feed: 'oak.0000000000000001', from: 1, to: 4 },
    { type: 'lost', feed: 'oak.0000000000000002', from: 4, to: 5 },
  ])
  expect(valuesOf(chunk)).toEqual(['a5'])
  expect(entriesOf(chunk.cursor)).toBe(1)
})

test('what is forgotten under a reader is not lost to it when what it has read elsewhere may imply that', async () => {
  const { oak } = orders()
  const second = oak.restarted(2).write(60, 'a4')
  const third = second.restarted(3).write(70, 'a5')
  const { cursor } = await open(new Shelf().hold(oak).hold(second).hold(third)).next(10)
  const shelf = new Shelf().hold(oak).hold(second)
  const reader = goOn(shelf, cursor)
  expect((await reader.next(10)).gaps).toMatchObject([{ type: 'late' }, { type: 'late' }])
  shelf.forget(oak).hold(second, 2, { rooted: true })
  expect((await reader.next(10)).gaps).toBeUndefined()
  shelf.forget(second).hold(third, 2, { rooted: true })
  expect((await reader.next(10)).gaps).toBeUndefined()
  expect(reader.cursor).toBe(cursor)
})

// Found by the simulator: seed 136.
test('what a writer writes after its disk was lost is read, though all that it had written before but the last is forgotten', async () => {
  const first = new Writer('oak', 1).write(10, 'a0', 'a1')
  const second = first.restarted(2).write(20, 'a2')
  const third = new Writer('oak', 3, { epoch: second.feed.epoch, ...second.head }, 25).write(30, 'a3')
  const { cursor } = await open(new Shelf().hold(first).hold(second).hold(third)).next(10)
  const anew = new Writer('oak', 4, undefined, 40).write(50, 'new')
  const shelf = new Shelf().hold(third, 2, { rooted: true }).hold(anew)
  const chunk = await goOn(shelf, cursor).next(10)
  expect([valuesOf(chunk), chunk.gaps]).toEqual([['new'], undefined])
  // What may have come before is still waited for: it may have come back.
  const back = await goOn(new Shelf().hold(third, 2, { rooted: true }).hold(first), cursor).next(10)
  expect([valuesOf(back), back.gaps]).toMatchObject([[], [{ type: 'late' }]])
})

// Found by the simulator: seed 4334.
test('the earliest has what a writer wrote before its disk was lost, though the first that it wrote after that is forgotten', async () => {
  const first = new Writer('oak', 1).write(10, 'a0', 'a1')
  const second = first.restarted(2).write(20, 'a2')
  const anew = new Writer('oak', 3, undefined, 40).write(50, 'b0', 'b1', 'b2')
  const last = anew.restarted(4).write(60, 'b3').write(70, 'b4')
  const now = () => new Shelf().hold(last, 3, { floor: 4, rooted: true })
  const chunk = await open(now().hold(first).hold(second)).next(10)
  expect([valuesOf(chunk), chunk.gaps]).toEqual([['a0', 'a1', 'a2', 'b4'], undefined])
  // What was on its way when the reader came is read elsewhere.
  const { cursor } = await open(now().hold(first, 1)).next(10)
  const later = await goOn(now().hold(first).hold(second), cursor).next(10)
  expect([valuesOf(later), later.gaps]).toEqual([['a0', 'a1', 'a2'], undefined])
})

test('a reader of the latest is told of nothing that was trimmed before its time', async () => {
  const { oak, elm } = orders()
  const { cursor } = open(new Shelf().hold(elm), { type: 'latest' }, 50)
  const shelf = new Shelf().hold(elm).hold(oak.write(55, 'a4').write(60, 'a5'), 5, { floor: 3 })
  const chunk = await goOn(shelf, cursor).next(10)
  expect([valuesOf(chunk), chunk.gaps]).toEqual([['a4', 'a5'], undefined])
  const later = await goOn(new Shelf().hold(oak, 5, { floor: 5 }), cursor).next(10)
  // What was trimmed may have been of its time.
  expect([valuesOf(later), later.gaps]).toEqual([
    ['a5'],
    [{ type: 'lost', feed: 'oak.0000000000000001', from: 0, to: 5 }],
  ])
})

test('a damaged feed is late, told once: others go on, and after its repair nothing is missing', async () => {
  const { oak, elm } = orders()
  const shelf = new Shelf().hold(oak, 3, { damaged: [{ from: 0, to: 4 }] }).hold(elm)
  const reader = open(shelf)
  const chunk = await reader.next(10)
  expect(valuesOf(chunk)).toEqual(['b0', 'b1', 'b2', 'b3'])
  expect(chunk.gaps).toEqual([{ type: 'late', feed: 'oak.0000000000000001', from: 0, to: 4 }])
  const woken = reader.more(new AbortController().signal)
  shelf.hold(elm.write(90, 'b4'))
  await woken
  const next = await reader.next(10)
  expect(valuesOf(next)).toEqual(['b4'])
  expect(next.gaps).toBeUndefined()
  const repaired = reader.more(new AbortController().signal)
  shelf.hold(oak)
  await repaired
  expect(await rest(reader)).toEqual(['a0', 'a1', 'a2', 'a3'])
})

test('a writer that lost its disk after a reader had read from it: the feed that waits for the lost one is told', async () => {
  const { oak, elm } = orders()
  const { cursor } = await open(new Shelf().hold(oak)).next(2)
  const refilled = new Writer('oak', 2).write(50, 'a4', 'a5', 'a6')
  const shelf = new Shelf().hold(refilled).hold(elm)
  const reader = goOn(shelf, cursor)
  const chunk = await reader.next(100)
  expect(valuesOf(chunk)).toEqual(['b0', 'b1', 'b2', 'b3'])
  expect(chunk.upToDate).toBe(true)
  expect(chunk.gaps).toEqual([{ type: 'late', feed: 'oak.0000000000000002', from: 0, to: 3 }])
  expect((await reader.next(100)).gaps).toBeUndefined()
  shelf.hold(refilled.write(90, 'a7'))
  expect((await reader.next(100)).gaps).toEqual([{ type: 'late', feed: 'oak.0000000000000002', from: 0, to: 4 }])
  // Somebody had the lost feed after all, and so its link to what comes next is known.
  shelf.hold(oak)
  const found = await reader.next(100)
  expect(valuesOf(found)).toEqual(['a2', 'a3', 'a4', 'a5', 'a6', 'a7'])
  expect(found.gaps).toBeUndefined()
})

test('a successor that waits for its predecessor is told once there is nothing else to read, and not before', async () => {
  const { oak, again } = orders()
  const shelf = new Shelf().hold(oak, 2).hold(again)
  const reader = open(shelf)
  expect((await reader.next(1)).gaps).toBeUndefined()
  expect((await reader.next(10)).gaps).toEqual([{ type: 'late', feed: 'oak.0000000000000002', from: 4, to: 7 }])
  shelf.hold(oak)
  const chunk = await reader.next(10)
  expect(valuesOf(chunk)).toEqual(['a3', 'a4', 'a5', 'a6'])
  expect(chunk.gaps).toBeUndefined()
})

test('more waits for the topic to advance or for the signal, and leaves no listener behind', async () => {
  const { oak, elm } = orders()
  const shelf = new Shelf().hold(elm)
  const reader = open(shelf)
  const never = new AbortController().signal
  await reader.more(never)
  expect(shelf.listeners).toBe(0)
  await reader.next(10)
  const advanced = reader.more(never)
  expect(shelf.listeners).toBe(1)
  shelf.hold(oak)
  await advanced
  expect(await rest(reader)).toEqual(['a0', 'a1', 'a2', 'a3'])
  const stop = new AbortController()
  const stopped = reader.more(stop.signal)
  stop.abort()
  await stopped
  expect(shelf.listeners).toBe(0)
})

test('what arrives between next and more is not slept through', async () => {
  const { oak, elm } = orders()
  const shelf = new Shelf().hold(elm)
  const reader = open(shelf)
  await reader.next(10)
  shelf.hold(oak)
  await reader.more(new AbortController().signal)
  expect(shelf.listeners).toBe(0)
})

test('what comes to a feed that waits, while next is busy with another, is told to wait, too', async () => {
  const { oak, elm } = orders()
  const { cursor } = await open(new Shelf().hold(oak)).next(2)
  const refilled = new Writer('oak', 2).write(50, 'a4')
  const shelf = new Shelf().hold(refilled).hold(elm)
  const reader = goOn(shelf, cursor)
  expect((await reader.next(100)).gaps).toEqual([{ type: 'late', feed: 'oak.0000000000000002', from: 0, to: 1 }])
  shelf.hold(elm.write(90, 'b4'))
  const busy = reader.next(100)
  shelf.hold(refilled.write(91, 'a5'))
  expect(await busy).toMatchObject({ records: { length: 1 }, upToDate: true })
  await reader.more(new AbortController().signal)
  expect((await reader.next(100)).gaps).toEqual([{ type: 'late', feed: 'oak.0000000000000002', from: 0, to: 2 }])
})

test('a feed that is repaired while next is busy with another is not slept through', async () => {
  const { oak, elm } = orders()
  const shelf = new Shelf().hold(oak, 3, { damaged: [{ from: 0, to: 4 }] }).hold(elm)
  const reader = open(shelf)
  expect((await reader.next(10)).gaps).toEqual([{ type: 'late', feed: 'oak.0000000000000001', from: 0, to: 4 }])
  shelf.hold(elm.write(90, 'b4'))
  const busy = reader.next(10)
  shelf.hold(oak)
  expect(valuesOf(await busy)).toEqual(['b4'])
  await reader.more(new AbortController().signal)
  expect(await rest(reader)).toEqual(['a0', 'a1', 'a2', 'a3'])
})

test('a chunk is bounded in bytes, whatever its records', async () => {
  const oak = new Writer('oak', 1)
  const large = 'x'.repeat(900_000)
  for (let i = 1; i <= 8; i++) oak.write(i, large)
  const { records, upToDate } = await open(new Shelf().hold(oak)).next(1_000)
  expect(records.length).toBe(Math.ceil(limits.pageBytesMax / large.length))
  expect(upToDate).toBe(false)
})

test('with many feeds of large batches, what was let go is fetched again and nothing is lost', async () => {
  const shelf = new Shelf()
  for (let feed = 0; feed < 20; feed++) {
    const writer = new Writer(`peer${feed}`, feed)
    for (let batch = 0; batch < 3; batch++) writer.write(1 + batch * 20 + feed, `${batch}`.repeat(100_000))
    shelf.hold(writer)
  }
  const reader = open(shelf)
  const times: number[] = []
  const gaps: unknown[] = []
  for (let upToDate = false; !upToDate;) {
    const chunk = await reader.next(7)
    times.push(...chunk.records.map(({ record }) => record.timeMs))
    gaps.push(...(chunk.gaps ?? []))
    upToDate = chunk.upToDate
  }
  expect(times).toEqual(Array.from({ length: 60 }, (_, index) => index + 1))
  expect(gaps).toEqual([])
  // Batches were let go, so memory is bounded; each was fetched at most twice, so work is not squared.
  expect(shelf.reads).toBeGreaterThan(60)
  expect(shelf.reads).toBeLessThanOrEqual(2 * 60)
})

test('many feeds share the look-ahead: of small batches nothing is fetched twice', async () => {
  const shelf = new Shelf()
  for (let feed = 0; feed < 20; feed++) {
    const writer = new Writer(`peer${feed}`, feed)
    for (let batch = 0; batch < 60; batch++) writer.write(1 + batch * 20 + feed, 'x'.repeat(900))
    shelf.hold(writer)
  }
  const { records } = await open(shelf).next(2_000)
  expect(records.length).toBe(20 * 60)
  const batchesPerFetch = Math.floor(limits.readerAheadBytesMax / 20 / 1_000)
  expect(shelf.reads).toBeLessThanOrEqual(20 * Math.ceil(60 / batchesPerFetch))
})

test('whatever arrives when, and wherever the reader goes on, each record comes once and in its writer’s order', async () => {
  const limit = fc.integer({ min: 1, max: 4 })
  const arrival = fc.record({ at: fc.nat(1), feed: fc.nat(5), limit, inBatches: fc.boolean() })
  const arrivals = fc.array(arrival, { maxLength: 40 })
  await fc.assert(
    fc.asyncProperty(arrivals, fc.array(fc.nat(3), { minLength: 6, maxLength: 6 }), async (steps, kept) => {
      const writers = family(kept)
      const shelves = [new Shelf(), new Shelf()] as const
      const held = shelves.map(() => writers.map(() => 0))
      const read: string[] = []
      let cursor = open(shelves[0]).cursor
      const readAt = async (at: number, most: number, inBatches = false) => {
        const reader = goOn(shelves[at] as Shelf, cursor)
        if (inBatches) {
          const { batches } = await reader.nextBatches(most, limits.pageBytesMax)
          // A client stops wherever it likes.
          const taken = batches.flatMap(recordsIn).slice(0, most)
          read.push(...taken.map(({ id }) => id))
          cursor = taken.at(-1)?.cursor ?? cursor
          return
        }
        const chunk = await reader.next(most)
        read.push(...chunk.records.map(({ record }) => record.id))
        cursor = chunk.cursor
      }
      for (const { at, feed, limit: most, inBatches } of steps) {
        const writer = writers[feed] as Writer
        const batches = Math.min(((held[at] as number[])[feed] ?? 0) + 1, writer.batches.length)
        ;(held[at] as number[])[feed] = batches
        shelves[at]?.hold(writer, batches)
        await readAt(at, most, inBatches)
      }
      for (const writer of writers) shelves[1].hold(writer)
      await readAt(1, 1_000)
      expect(read.toSorted()).toEqual(writers.flatMap(idsOf).toSorted())
      for (const writer of writers) expectOrder(read, writer, writers)
    }),
    { numRuns: 100 },
  )
})

/** Three runs each of oak and elm; each disk has lost all but some batches of the run before. */
function family(kept: readonly number[]): Writer[] {
  return ['oak', 'elm'].flatMap((name, n) => {
    const runs = [new Writer(name, 1)]
    for (const run of [1, 2, 3]) {
      const writer = runs.at(-1) as Writer
      for (let batch = 0; batch < 3; batch++) writer.write(run * 100 + batch * 7 + n * 3, `${run}.${batch}`, 'more')
      if (run < 3) runs.push(writer.restarted(run + 1, 1 + (kept[n * 3 + run - 1] ?? 0)))
    }
    return runs
  })
}

const idsOf = ({ feed, batches, head }: Writer): string[] => {
  const first = batches[0]?.head.nextOffset ?? 0
  return Array.from({ length: head.nextOffset - first }, (_, i) => `${feed.writer}.${feed.epoch}.${first + i}`)
}

/** The feed's records came in order, and after those of its predecessor up to the link. */
function expectOrder(read: readonly string[], writer: Writer, all: readonly Writer[]): void {
  const places = idsOf(writer).map((id) => read.indexOf(id))
  expect(places).toEqual(places.toSorted((a, b) => a - b))
  const link = writer.opening.predecessor
  const before = all.find(({ feed }) => feed.writer === writer.feed.writer && feed.epoch === link?.epoch)
  if (link === undefined || before === undefined) return
  const linked = idsOf(before).slice(0, link.nextOffset - (before.batches[0]?.head.nextOffset ?? 0))
  for (const id of linked) expect(read.indexOf(id)).toBeLessThan(places[0] ?? Infinity)
}

test('nothing is up to date while keepers are being asked; then it is, also when they had nothing more', async () => {
  const { elm } = orders()
  const shelf = new Shelf().hold(elm).stand('asking')
  const reader = open(shelf)
  expect(await reader.next(100)).toMatchObject({ upToDate: false, records: { length: 4 } })
  shelf.stand('current')
  await reader.more(new AbortController().signal)
  expect(await reader.next(100)).toMatchObject({ upToDate: true, records: [] })
})

test('a reader is told when nobody who keeps the topic can be reached, and wakes when that changes', async () => {
  const { oak, elm } = orders()
  const shelf = new Shelf().hold(elm).stand('isolated')
  const reader = open(shelf)
  expect(await reader.next(100)).toMatchObject({ upToDate: true, isolated: true })
  const more = reader.more(new AbortController().signal)
  shelf.hold(oak).stand('current')
  await more
  const chunk = await reader.next(100)
  expect(chunk.isolated).toBeUndefined()
  expect(chunk).toMatchObject({ upToDate: true, records: { length: 4 } })
})

test('the fixture writes feeds as peers do', () => {
  const { again } = orders()
  const headers = again.batches.map(({ bytes }) => readBatchHeader(bytes))
  expect(headers).toMatchObject([
    { opening: true, baseOffset: 4, count: 0 },
    { opening: false, baseOffset: 4, count: 2 },
    { opening: false, baseOffset: 6, count: 1 },
  ])
})
