// What a session orders for what it is told: tables of inputs and orders, no sockets and no waiting.
import { expect, test } from 'vitest'
import { MeshError } from '#protocol/errors'
import type { TopicName } from '#protocol/topic-name'
import type { EncodedPublish, PublishRequest, PublishResult, ReadChunk, ReadGap, StoredRecord } from '../broker.ts'
import { parseClientFrame } from './client-frame.ts'
import { anonymous } from '../auth/principal.ts'
import { Session, type SessionInput, type SessionOrder } from './session.ts'

const orders = 'orders' as TopicName
const bills = 'bills.eu' as TopicName
const limits = { frameBytes: 1_000, subscriptions: 3, topics: 4, credit: 100, publishesInFlight: 2 }
const whole = { reachable: ['ash', 'elm', 'oak'], known: ['ash', 'elm', 'oak'] }
const split = { reachable: ['oak'], known: ['ash', 'elm', 'oak'] }

interface SessionOptions {
  readonly topics?: TopicName[]
  readonly recordsPerRead?: number
  readonly isBinary?: boolean
}

function session({ topics = [orders], recordsPerRead = 10, isBinary = false }: SessionOptions = {}) {
  const machine = new Session({
    peer: 'oak',
    limits,
    isBinary,
    recordsPerRead,
    principal: () => anonymous,
    topics: () => topics,
  })
  /** Tells it one thing after the other; what it orders, in short. */
  const tell = (...inputs: SessionInput[]): string[] => inputs.flatMap((input) => machine.handle(input)).map(inShort)
  tell({ type: 'connected', mesh: whole, servers: [] })
  return { machine, tell, say: (...frames: object[]) => tell(...frames.map(said)) }
}

const said = (frame: object): SessionInput => ({ type: 'frame', frame: parseClientFrame(JSON.stringify(frame)) })

const subscribe = (fields: object = {}) => ({
  type: 'subscribe',
  sub: 'a',
  topics: ['orders'],
  from: 'earliest',
  credit: 5,
  ...fields,
})
const publish = (ref: string) => ({ type: 'publish', ref, topic: 'orders', records: [{ value: 'pears' }] })
const opened = (reader: number, cursor = `c${reader}`): SessionInput => ({ type: 'opened', reader, cursor })
const advanced = (reader: number): SessionInput => ({ type: 'advanced', reader })

function read(
  reader: number,
  count: number,
  { upToDate = true, isolated = false, gaps = [] as ReadGap[] } = {},
): SessionInput {
  const record = {} as StoredRecord
  const records = Array.from({ length: count }, (_, i) => ({ record, cursor: `r${i + 1}` }))
  const chunk: ReadChunk = { records, cursor: `r${count}`, upToDate, isolated, gaps }
  return { type: 'read', reader, chunk }
}

/** Batches of so many records each. */
function readBatches(reader: number, ...counts: number[]): SessionInput {
  const batches = counts.map((count, i) => ({
    topic: orders,
    feed: 'x',
    bytes: new Uint8Array(),
    from: 0,
    skip: [],
    count,
    cursor: `b${i + 1}`,
  }))
  return { type: 'read', reader, chunk: { batches, cursor: `b${counts.length}`, upToDate: false } }
}

function inShort(order: SessionOrder): string {
  switch (order.type) {
    case 'send': {
      const { type, ...frame } = order.frame
      return `${type} ${JSON.stringify(frame).replaceAll('"', '')}`
    }
    case 'sendProblem':
      return `error ${order.sub ?? order.ref ?? ''} ${(order.error as MeshError).code}`
    case 'sendRecords':
      return `records ${order.sub} ${order.records.length}`
    case 'sendBatches':
      return `batches ${order.sub} ${order.batches.map(({ count }) => count).join(' ')}`
    case 'open':
      return `open ${order.reader} ${order.topic} ${order.from.type}${'cursor' in order.from ? ` ${order.from.cursor}` : ''}`
    case 'read':
      return `read ${order.reader} ${order.limit}`
    case 'waitForMore':
    case 'closeReader':
      return `${order.type} ${order.reader}`
    case 'publish':
      return `publish ${order.ref} ${countOf(order.request)}`
    case 'close':
      return `close ${order.code} ${order.reason}`
  }
}

const countOf = (request: PublishRequest | EncodedPublish): number =>
  'encoded' in request ? request.encoded.count : request.records.length

// Beginning -------------------------------------------------------------------------------------------------------------

test('a socket is welcomed with the limits and the other servers, and again after silence', () => {
  const machine = new Session({
    peer: 'oak',
    limits,
    isBinary: false,
    recordsPerRead: 10,
    principal: () => anonymous,
    topics: () => [],
  })
  const servers = ['http://elm:8400']
  const welcome = [{ type: 'send', frame: { type: 'welcome', peer: 'oak', limits, servers } }]
  expect(machine.handle({ type: 'connected', mesh: whole, servers })).toEqual(welcome)
  expect(machine.handle({ type: 'silent', servers })).toEqual(welcome)
})

test('a subscription opens its topics, says where it began, reads, catches up and waits', () => {
  const { say, tell } = session()
  expect(say(subscribe())).toEqual(['open 1 orders earliest'])
  expect(tell(opened(1))).toEqual(['subscribed {sub:a,cursor:{orders:c1}}', 'read 1 5'])
  expect(tell(read(1, 2))).toEqual(['records a 2', 'waitForMore 1', 'event {sub:a,event:caught-up}'])
  expect(tell(advanced(1))).toEqual(['read 1 3'])
  expect(tell(read(1, 1))).toEqual(['records a 1', 'waitForMore 1'])
})

test.each([
  ['earliest', 'earliest'],
  ['latest', 'latest'],
  [undefined, 'latest'],
  ['gv1.here', 'cursor gv1.here'],
  [{ orders: 'gv1.here' }, 'cursor gv1.here'],
  [{}, 'earliest'],
])('from %j a topic is read from %s', (from, start) => {
  expect(session().say(subscribe({ from }))).toEqual([`open 1 orders ${start}`])
})

test('a subscription to several topics and patterns reads each topic once and is subscribed when all are open', () => {
  const { say, tell } = session({ topics: [bills, orders] })
  const cursors = { orders: 'gv1.there' }
  expect(say(subscribe({ topics: ['orders', '*', 'bills.**'], from: cursors }))).toEqual([
    'open 1 bills.eu earliest',
    'open 2 orders cursor gv1.there',
  ])
  expect(tell(opened(2))).toEqual([])
  expect(tell(opened(1))).toEqual(['subscribed {sub:a,cursor:{orders:c2,bills.eu:c1}}', 'read 2 5'])
})

test('a subscription to what does not exist yet has caught up, and takes it in when it appears, from its beginning', () => {
  const { say, tell } = session({ topics: [] })
  expect(say(subscribe({ topics: ['bills.*'], from: 'latest' }))).toEqual([
    'subscribed {sub:a,cursor:{}}',
    'event {sub:a,event:caught-up}',
  ])
  expect(tell({ type: 'topicAppeared', topic: orders })).toEqual([])
  expect(tell({ type: 'topicAppeared', topic: bills })).toEqual(['open 1 bills.eu earliest'])
  expect(tell({ type: 'topicAppeared', topic: bills })).toEqual([])
  expect(tell(opened(1), read(1, 1))).toEqual(['read 1 5', 'records a 1', 'waitForMore 1'])
})

test('a topic that appears later is read from the cursor that was given for it', () => {
  const { say, tell } = session({ topics: [] })
  say(subscribe({ from: 'gv1.here' }))
  expect(tell({ type: 'topicAppeared', topic: orders })).toEqual(['open 1 orders cursor gv1.here'])
})

test('caught-up is told once, when every topic of the beginning has been read to its end', () => {
  const { say, tell } = session({ topics: [orders, bills] })
  say(subscribe({ topics: ['**'], credit: 50 }))
  tell(opened(1), opened(2))
  expect(tell(read(1, 1))).toEqual(['records a 1', 'waitForMore 1', 'read 2 10'])
  expect(tell(read(2, 10, { upToDate: false }))).toEqual(['records a 10', 'read 2 10'])
  expect(tell(read(2, 0))).toEqual(['waitForMore 2', 'event {sub:a,event:caught-up}'])
  expect(tell(advanced(1), read(1, 1))).toEqual(['read 1 10', 'records a 1', 'waitForMore 1'])
})

test('caught-up says that some topic is isolated, and comes once more when none is', () => {
  const { say, tell } = session({ topics: [orders, bills] })
  say(subscribe({ topics: ['**'], credit: 50 }))
  tell(opened(1), opened(2))
  tell(read(1, 0, { isolated: true }))
  expect(tell(read(2, 0))).toEqual(['waitForMore 2', 'event {sub:a,event:caught-up,isolated:true}'])
  expect(tell(advanced(1), read(1, 1, { isolated: true }))).toEqual(['read 1 10', 'records a 1', 'waitForMore 1'])
  const again = tell(advanced(1), read(1, 0))
  expect(again).toEqual(['read 1 10', 'waitForMore 1', 'event {sub:a,event:caught-up}'])
  expect(tell(advanced(1), read(1, 0))).toEqual(['read 1 10', 'waitForMore 1'])
})

// Credit and turns ------------------------------------------------------------------------------------------------------

test('no more is read than there is credit for, and reading goes on when there is more', () => {
  const { say, tell } = session()
  say(subscribe({ credit: 2 }))
  expect(tell(opened(1))).toContain('read 1 2')
  expect(tell(read(1, 2, { upToDate: false }))).toEqual(['records a 2'])
  expect(tell(advanced(1))).toEqual([])
  expect(say({ type: 'credit', sub: 'a', n: 1 })).toEqual(['read 1 1'])
  expect(tell(read(1, 1, { upToDate: false }))).toEqual(['records a 1'])
})

test('a subscription without credit is subscribed and told nothing', () => {
  const { say, tell } = session()
  say(subscribe({ credit: 0 }))
  expect(tell(opened(1))).toEqual(['subscribed {sub:a,cursor:{orders:c1}}'])
  expect(say({ type: 'credit', sub: 'a', n: 7 })).toEqual(['read 1 7'])
})

test('one read is under way at a time; subscriptions take turns, and so do the topics of one', () => {
  const { say, tell } = session({ topics: [orders, bills], recordsPerRead: 1 })
  say(subscribe({ topics: ['**'], credit: 100 }), subscribe({ sub: 'b', credit: 100 }))
  expect(tell(opened(1), opened(2), opened(3)).filter((order) => order.startsWith('read'))).toEqual(['read 1 1'])
  const turns = [1, 3, 2, 3, 1].map((reader) => tell(read(reader, 1, { upToDate: false })).at(-1))
  expect(turns).toEqual(['read 3 1', 'read 2 1', 'read 3 1', 'read 1 1', 'read 3 1'])
})

test('while the socket is behind nothing is read', () => {
  const { say, tell } = session()
  say(subscribe({ credit: 50 }))
  tell(opened(1))
  expect(tell({ type: 'socketBehind' }, read(1, 10, { upToDate: false }))).toEqual(['records a 10'])
  expect(say({ type: 'credit', sub: 'a', n: 10 })).toEqual([])
  expect(tell({ type: 'socketReady' })).toEqual(['read 1 10'])
})

// Gaps and the mesh -----------------------------------------------------------------------------------------------------

test('a topic that is deleted is told, and one that has its name by then is read from its beginning', () => {
  const topics: TopicName[] = [orders, bills]
  const { say, tell } = session({ topics })
  say(subscribe({ topics: ['*', 'bills.*'], from: 'latest' }))
  tell(opened(1), opened(2), read(1, 0), read(2, 0))
  topics.shift()
  const deleted = { type: 'readFailed', reader: 1, error: new MeshError('TOPIC_DELETED') } as const
  expect(tell(advanced(1), deleted)).toEqual(['read 1 5', 'closeReader 1', 'event {sub:a,event:deleted,topic:orders}'])
  expect(tell({ type: 'topicAppeared', topic: orders })).toEqual(['open 3 orders earliest'])
  topics.unshift(orders)
  const again = { ...deleted, reader: 3 }
  expect(tell(opened(3), again)).toEqual([
    'read 3 5',
    'closeReader 3',
    'event {sub:a,event:deleted,topic:orders}',
    'open 4 orders earliest',
  ])
})

test('a cursor of a topic that was deleted ends nothing: that is told, and the new topic is read from its beginning', () => {
  const { say, tell } = session({ topics: [orders] })
  expect(say(subscribe({ from: { orders: 'gv1.old' } }))).toEqual(['open 1 orders cursor gv1.old'])
  expect(tell({ type: 'openFailed', reader: 1, error: new MeshError('TOPIC_DELETED') })).toEqual([
    'closeReader 1',
    'event {sub:a,event:deleted,topic:orders}',
    'open 2 orders earliest',
  ])
  expect(tell(opened(2))).toEqual(['subscribed {sub:a,cursor:{orders:c2}}', 'read 2 5'])
})

test('gaps come before the records after them; one without records brings the cursor', () => {
  const { say, tell } = session()
  const lost: ReadGap = { type: 'lost', feed: 'f', from: 1, to: 4 }
  say(subscribe({ credit: 50 }))
  tell(opened(1))
  expect(tell(read(1, 2, { gaps: [lost], upToDate: false }))).toEqual([
    'event {sub:a,event:gap,topic:orders,gap:{type:lost,feed:f,from:1,to:4}}',
    'records a 2',
    'read 1 10',
  ])
  expect(tell(read(1, 0, { gaps: [lost], upToDate: false }))).toEqual([
    'event {sub:a,event:gap,topic:orders,gap:{type:lost,feed:f,from:1,to:4},cursor:r0}',
    'waitForMore 1',
  ])
})

test('a partition is told to each subscription when it begins, when it changes, and when it is healed', () => {
  const { say, tell } = session({ topics: [] })
  const meshChanged = (mesh: typeof split) => tell({ type: 'meshChanged', mesh })
  say(subscribe())
  const cut = 'event {sub:a,event:partition,reachable:[oak],known:[ash,elm,oak]}'
  const halfHealed = { reachable: ['elm', 'oak'], known: split.known }
  expect(meshChanged(split)).toEqual([cut])
  expect(meshChanged(split)).toEqual([])
  expect(meshChanged(halfHealed)).toEqual(['event {sub:a,event:partition,reachable:[elm,oak],known:[ash,elm,oak]}'])
  expect(meshChanged(whole)).toEqual(['event {sub:a,event:healed}'])
  expect(meshChanged(whole)).toEqual([])
})

test('who subscribes during a partition is told of it', () => {
  const { say, tell } = session({ topics: [] })
  tell({ type: 'meshChanged', mesh: split })
  expect(say(subscribe())).toContain('event {sub:a,event:partition,reachable:[oak],known:[ash,elm,oak]}')
})

// Ends ------------------------------------------------------------------------------------------------------------------

test('after unsubscribe its readers are closed, and what was read for it is not sent', () => {
  const { say, tell } = session()
  say(subscribe(), subscribe({ sub: 'b' }))
  tell(opened(1), opened(2))
  expect(say({ type: 'unsubscribe', sub: 'a' })).toEqual(['closeReader 1'])
  expect(tell(read(1, 3))).toEqual(['read 2 5'])
  expect(say({ type: 'unsubscribe', sub: 'a' }, { type: 'credit', sub: 'a', n: 1 })).toEqual([])
  expect(say(subscribe())).toEqual(['open 3 orders earliest'])
  expect(tell(opened(1), advanced(1))).toEqual([])
})

test('an open or a read that fails ends its subscription and no other', () => {
  const { say, tell } = session()
  const error = new MeshError('CURSOR_INVALID')
  say(subscribe(), subscribe({ sub: 'b' }), subscribe({ sub: 'c' }))
  expect(tell({ type: 'openFailed', reader: 1, error })).toEqual(['closeReader 1', 'error a CURSOR_INVALID'])
  expect(tell(opened(2))).toContain('read 2 5')
  expect(tell({ type: 'readFailed', reader: 2, error })).toEqual(['closeReader 2', 'error b CURSOR_INVALID'])
  expect(tell(opened(3))).toContain('read 3 5')
})

test('a subscription that another frame contradicts is ended rather than guessed at', () => {
  const { say, tell } = session()
  say(subscribe())
  expect(say(subscribe())).toEqual(['closeReader 1', 'error a BAD_REQUEST'])
  say(subscribe())
  tell(opened(2))
  expect(say({ type: 'credit', sub: 'a', n: 96 })).toEqual(['closeReader 2', 'error a BAD_REQUEST'])
  say(subscribe())
  expect(say({ type: 'credit', sub: 'a', n: 'many' })).toEqual(['closeReader 3', 'error a BAD_REQUEST'])
})

test('subscriptions and topics of a socket are bounded', () => {
  const { say } = session({ topics: ['a', 'b', 'c', 'd', 'e'] as TopicName[] })
  expect(say(subscribe({ topics: ['*'] })).at(-1)).toBe('error a BAD_REQUEST')
  const three = [subscribe({ topics: ['a'] }), subscribe({ sub: 'b' }), subscribe({ sub: 'c' })]
  expect(say(...three)).toEqual([
    'open 5 a earliest',
    'subscribed {sub:b,cursor:{}}',
    'event {sub:b,event:caught-up}',
    'subscribed {sub:c,cursor:{}}',
    'event {sub:c,event:caught-up}',
  ])
  expect(say(subscribe({ sub: 'd' }))).toEqual(['error d BAD_REQUEST'])
})

// Publishing ------------------------------------------------------------------------------------------------------------

const result: PublishResult = {
  runs: [{ feed: 'x', from: 0, count: 2 }],
  cursor: 'gv1.after',
  ack: { level: 'all', reached: false, copies: 1, peers: ['oak'], registryVersion: '1', home: ['oak', 'elm'] },
}

test('a publish is answered with a status for each record, the cursor and how far it got', () => {
  const { say, machine } = session()
  expect(say(publish('p'))).toEqual(['publish p 1'])
  const [order] = machine.handle({ type: 'published', ref: 'p', result })
  const results = [
    { status: 202, id: 'x.0' },
    { status: 202, id: 'x.1' },
  ]
  expect(order).toEqual({
    type: 'send',
    frame: { type: 'published', ref: 'p', results, cursor: 'gv1.after', ack: result.ack },
  })
})

test('on a binary socket it is answered with where the records are, and no id of each is made', () => {
  const { say, machine } = session({ isBinary: true })
  expect(say(publish('p'))).toEqual(['publish p 1'])
  const [order] = machine.handle({ type: 'published', ref: 'p', result })
  const { runs, ack } = result
  const frame = { type: 'published', ref: 'p', status: 202, runs, cursor: 'gv1.after', ack }
  expect(order).toEqual({ type: 'send', frame })
})

test('a publish that fails, one too many and one whose name is in flight are refused by their names', () => {
  const { say, tell } = session()
  expect(say(publish('p'), publish('p'), publish('q'), publish('r'))).toEqual([
    'publish p 1',
    'error p BAD_REQUEST',
    'publish q 1',
    'error r OVERLOADED',
  ])
  expect(tell({ type: 'publishFailed', ref: 'p', error: new MeshError('STORAGE_FAILED') })).toEqual([
    'error p STORAGE_FAILED',
  ])
  expect(say(publish('p'))).toEqual(['publish p 1'])
})

test('a batch beyond the credit is sent whole, and nothing is read before the rest was given', () => {
  const { say, tell } = session({ isBinary: true })
  say(subscribe({ credit: 5 }))
  expect(tell(opened(1)).at(-1)).toBe('read 1 5')
  expect(tell(readBatches(1, 2, 40))).toEqual(['batches a 2 40'])
  expect(say({ type: 'credit', sub: 'a', n: 37 })).toEqual([])
  expect(say({ type: 'credit', sub: 'a', n: 3 })).toEqual(['read 1 3'])
  expect(tell(readBatches(1))).toEqual(['waitForMore 1'])
})

// The end ---------------------------------------------------------------------------------------------------------------

test('a drain says bye, reads no more, answers publishes in flight and closes', () => {
  const { say, tell } = session()
  say(subscribe(), publish('p'))
  tell(opened(1))
  const draining: SessionInput = { type: 'draining', servers: ['http://elm:8400'], retryMs: 700 }
  expect(tell(draining)).toEqual(['bye {reason:draining,servers:[http://elm:8400],retryMs:700}', 'closeReader 1'])
  expect(tell(draining, read(1, 2))).toEqual([])
  expect(say(publish('q'), subscribe({ sub: 'b' }))).toEqual(['error q DRAINING', 'error b DRAINING'])
  expect(tell({ type: 'published', ref: 'p', result }).at(-1)).toBe('close 4000 draining')
  expect(say(publish('r'))).toEqual([])
})

test('a socket that is not in use closes at once when the peer drains', () => {
  expect(session().tell({ type: 'draining', servers: [], retryMs: 700 }).at(-1)).toBe('close 4000 draining')
})

test('what is no frame is answered and the socket closed; what is a wrong frame is answered', () => {
  const { say, tell } = session()
  expect(say({ type: 'pears' })).toEqual(['error  BAD_REQUEST'])
  say(subscribe())
  const broken: SessionInput = { type: 'frame', frame: parseClientFrame('{"type":"subscr') }
  expect(tell(broken)).toEqual(['error  BAD_JSON', 'closeReader 1', 'close 4500 BAD_JSON'])
  expect(say(subscribe({ sub: 'b' }))).toEqual([])
})
