import { setImmediate as turn } from 'node:timers/promises'
import { bootPeer } from '#node/boot'
import { PeerBroker } from '#node/broker'
import type { PeerDriver } from '#node/driver'
import type { Clock, LinkId, Transport } from '#node/driver-ports'
import { nodeDigests } from '#node/node-digests'
import { assert } from '#protocol/assert'
import type { Epoch, PeerId, TopicId } from '#protocol/ids'
import { readBatchHeader } from '#protocol/log/batch'
import { NOTHING } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import { membershipProfiles } from '#protocol/membership/config'
import { utf8 } from '#protocol/text'
import { parseTopicName, type TopicName } from '#protocol/topic-name'
import { decodeControl } from '#protocol/wire/control-frame'
import { idsOfRuns } from '#protocol/wire/socket-frames'
import { MemoryStore } from '#storage/memory-store'
import { Dice } from '#test/sim/dice'
import { mutated, randomBytes } from './bytes.ts'
import { type Finding, findingsMax, type FuzzReport, printable, Tally } from './finding.ts'
import { cluster, HostileMesh } from './hostile-mesh.ts'
import { memoryMiB } from './memory.ts'

const oak = { peer: 'oak' as PeerId, epoch: '0000000000000001' as Epoch }
const orders = parseTopicName('orders') as TopicName

/** One frame must not keep everything else waiting for longer. */
const stallMsMax = 200
/** A client has its answer by then, on virtual time, whatever the others say. */
const answerMsMax = 30_000
/** Frames between two looks at what the peer shows, and between two that it must serve a client. */
const lookEvery = 2_000
/** Frames between two turns of the event loop, in which its store works. */
const turnEvery = 20

/**
 * Frames against one peer in memory, on virtual time: random bytes, damaged frames, and well-formed ones that no honest
 * peer would send. It must not throw, not send what its links would refuse, and go on serving its clients.
 */
export async function fuzzFrames({ seed, count }: { seed: number; count: number }): Promise<FuzzReport> {
  const fuzz = new FrameFuzz(seed)
  const startedMs = performance.now()
  await fuzz.run(count)
  return { ...fuzz.report(), inputs: count, seconds: (performance.now() - startedMs) / 1_000 }
}

class FrameFuzz {
  readonly #dice: Dice
  readonly #mesh: HostileMesh
  readonly #clock: VirtualClock
  readonly #links = new Map<LinkId, PeerId>()
  /** Control bytes that one input had sent, by link: a real one passes them on only afterwards. */
  readonly #backlogs = new Map<LinkId, number>()
  readonly #later: (() => void)[] = []
  readonly #findings: Finding[] = []
  readonly #tally = new Tally()
  #driver!: PeerDriver
  #broker!: PeerBroker
  #lastLink = 0
  #index = 0
  #input: Uint8Array = new Uint8Array(0)
  #stallMs = 0
  #memory = { before: 0, after: 0 }

  constructor(seed: number) {
    this.#dice = new Dice(seed, 'frames')
    this.#mesh = new HostileMesh(new Dice(seed, 'hostile'), oak)
    this.#clock = new VirtualClock()
  }

  report(): Omit<FuzzReport, 'inputs' | 'seconds'> {
    const { counts } = this.#tally
    for (const [fault, times] of this.#driver.badFrames) counts[`refused ${fault}`] = times
    counts['in the end: members'] = this.#broker.members().length
    counts['in the end: records of others'] = recordsOfOthers(this.#driver)
    return { target: 'frames', findings: this.#findings, seen: counts, stallMs: this.#stallMs, memoryMiB: this.#memory }
  }

  async run(count: number): Promise<void> {
    const onRejection = (error: unknown): void => this.#found('unhandled rejection', error)
    process.on('unhandledRejection', onRejection)
    try {
      await this.#boot()
      for (this.#index = 0; this.#index < count && this.#findings.length < findingsMax; this.#index++) {
        await this.#step()
        if (this.#index === Math.floor(count / 10)) this.#memory.before = memoryMiB()
      }
      await this.#look()
      await this.#serve()
      await this.#checkStored()
      this.#memory.after = memoryMiB()
    } finally {
      process.off('unhandledRejection', onRejection)
    }
  }

  async #boot(): Promise<void> {
    this.#driver = await bootPeer({
      self: oak.peer,
      epoch: oak.epoch,
      cluster,
      facts: { name: 'oak', addresses: ['127.0.0.1:7400'], http: 'http://127.0.0.1:8400', zone: '' },
      seeds: ['10.0.0.9:7400'],
      membership: membershipProfiles.local,
      store: new MemoryStore(nodeDigests),
      transport: this.#transport(),
      clock: this.#clock,
      digests: nodeDigests,
      random: new Dice(this.#dice.whole(0, 2 ** 31), 'peer'),
      onStorageFailed: (error) => this.#found('the store failed', error),
    })
    const self = {
      peerId: oak.peer,
      name: 'oak',
      cluster,
      epoch: oak.epoch,
      http: '',
      listen: [],
      version: '',
      startedAt: '',
      storage: 'memory',
    }
    this.#broker = new PeerBroker(self, { clock: this.#clock, digests: nodeDigests })
    this.#broker.attach(this.#driver, self, undefined)
    this.#driver.start()
    await this.#serve()
  }

  /** What a real link would not take is a mistake of the peer. */
  #transport(): Transport {
    return {
      dial: (target) => {
        if (this.#dice.chance(0.5)) this.#later.push(() => this.#driver.dialFailed(target, 'connect ECONNREFUSED'))
      },
      sendControl: (link, frame) => {
        const backlog = (this.#backlogs.get(link) ?? 0) + frame.length
        this.#backlogs.set(link, backlog)
        assert(backlog <= limits.controlBacklogBytesMax, 'what is said at once fits into the backlog of a link')
        assert(frame.length >= 1 && frame.length <= limits.controlFrameBytesMax, 'a control frame is within its bound')
        const message = decodeControl(frame)
        assert(message.type !== 'fault', 'what a peer says is understood')
        this.#mesh.heard(message)
      },
      sendData: (_, parts, written) => {
        const bytes = parts.reduce((sum, part) => sum + part.length, 0)
        assert(bytes <= limits.dataFrameBytesMax, 'a data frame is within its bound')
        if (this.#dice.chance(0.9)) this.#later.push(written)
      },
      close: (link, reason) => {
        if (this.#links.delete(link)) this.#later.push(() => this.#driver.linkDown(link, 'closed', reason))
      },
    }
  }

  async #step(): Promise<void> {
    const dice = this.#dice
    if (this.#links.size === 0 || dice.chance(0.002)) this.#linkUp()
    if (dice.chance(0.001)) this.#linkDown()
    this.#frame()
    for (const run of this.#later.splice(0)) this.#guard('what followed', run)
    if (dice.chance(0.05)) this.#guard('a timer', () => this.#clock.advance(dice.exponential(20)))
    if (this.#index % turnEvery === 0) await turn()
    if (this.#index % lookEvery !== 0) return
    await this.#look()
    await this.#serve()
  }

  #frame(): void {
    const dice = this.#dice
    const link = dice.pick([...this.#links.keys()])
    const kind = dice.chance(0.75) ? 'control' : 'data'
    const valid = kind === 'control' ? () => this.#mesh.control() : () => this.#mesh.data()
    const how = dice.next()
    // Most are well-formed: a link that is closed has nothing more to tell.
    this.#input = how < 0.9 ? valid() : how < 0.97 ? mutated(valid(), dice) : randomBytes(dice, 4_096)
    this.#tally.add(`${kind} ${how < 0.9 ? 'well-formed' : how < 0.97 ? 'damaged' : 'random'}`)
    if (this.#input.length === 0) return
    this.#guard(`a ${kind} frame`, () => {
      if (kind === 'control') this.#driver.controlFrame(link, this.#input)
      else this.#driver.dataFrame(link, this.#input)
    })
  }

  #linkUp(): void {
    const peer = this.#dice.pick(this.#mesh.links)
    const link = ++this.#lastLink
    // One link per peer: a new one takes the place of the old.
    for (const [old, at] of this.#links) if (at === peer) this.#down(old)
    this.#links.set(link, peer)
    this.#guard('a link', () => this.#driver.linkUp(link, peer))
  }

  #linkDown(): void {
    this.#down(this.#dice.pick([...this.#links.keys()]))
  }

  #down(link: LinkId): void {
    this.#links.delete(link)
    this.#guard('the end of a link', () => this.#driver.linkDown(link, this.#dice.pick(['closed', 'broken']), 'reset'))
  }

  /** Everything that a client may ask to see can be shown. */
  async #look(): Promise<void> {
    const broker = this.#broker
    await this.#guardAsync('a view', async () => {
      const topics = broker.topics()
      const views = [
        broker.members(),
        broker.gossip(),
        broker.links(),
        ...(await Promise.all(topics.map(({ topic }) => broker.topicStatus(topic)))),
      ]
      for (const view of views) JSON.stringify(view)
    })
    await this.#guardAsync('a read', async () => {
      const reader = await broker.open(orders, { type: 'earliest' })
      for (let chunks = 0; chunks < 3; chunks++) await reader.next(100)
    })
  }

  /** A publish is stored and read back, whatever the others do (P1). */
  async #serve(): Promise<void> {
    await this.#guardAsync('a publish', async () => {
      const value = utf8(`at ${this.#index}`)
      const { runs } = await this.#broker.publish({
        topic: orders,
        records: [{ value, headers: {} }],
        ack: { type: 'local' },
        waitMs: 0,
      })
      const [writer = '', epoch = '', offset] = (idsOfRuns(runs)[0] ?? '').split('.')
      const record = await this.#broker.record(orders, { writer, epoch, offset: Number(offset) })
      assert(Buffer.from(record?.value ?? []).equals(value), 'what was published is read')
    })
  }

  /** What it holds of others is what they wrote, byte by byte. */
  async #checkStored(): Promise<void> {
    for (const { topicId } of this.#broker.topics()) {
      for (const { feed, head } of this.#driver.feeds(topicId as TopicId)) {
        if (feed.writer === oak.peer) continue
        for (let position = NOTHING; position < head.nextOffset;) {
          const { batches } = await this.#driver.read(feed, position, 2 ** 20)
          assert(batches.length > 0, 'what is held can be read')
          for (const bytes of batches) {
            const header = readBatchHeader(bytes)
            if (typeof header === 'string' || !this.#mesh.knows(bytes))
              return this.#found('what is stored', 'bytes that nobody wrote')
            position = header.nextOffset
          }
        }
      }
    }
  }

  #guard(doing: string, run: () => void): void {
    this.#backlogs.clear()
    const start = process.threadCpuUsage()
    try {
      run()
    } catch (error) {
      this.#found(doing, error)
    }
    // Time of this thread, so that a busy machine does not look like a busy peer.
    const { user, system } = process.threadCpuUsage(start)
    const busyMs = (user + system) / 1_000
    this.#stallMs = Math.max(this.#stallMs, busyMs)
    if (busyMs > stallMsMax) this.#found(doing, `busy for ${busyMs} ms`)
  }

  /** It may ask others, who do not answer: time passes meanwhile. */
  async #guardAsync(doing: string, run: () => Promise<void>): Promise<void> {
    let isOver = false
    const over = run()
      .catch((error: unknown) => this.#found(doing, error))
      .finally(() => (isOver = true))
    for (let waitedMs = 0; waitedMs < answerMsMax; waitedMs += answerMsMax / 100) {
      await turn()
      if (isOver) return over
      this.#guard('a timer', () => this.#clock.advance(answerMsMax / 100))
      for (const run of this.#later.splice(0)) this.#guard('what followed', run)
    }
    this.#found(doing, `no answer within ${answerMsMax} ms`)
  }

  #found(doing: string, error: unknown): void {
    const what = `${doing}: ${error instanceof Error ? error.stack : String(error)}`
    this.#findings.push({ target: 'frames', index: this.#index, what, input: printable(this.#input) })
  }
}

/** That anything was stored shows that the fuzz gets past the door. */
function recordsOfOthers({ peer }: PeerDriver): number {
  const others = [...peer.replication.local.all()].filter(({ feed }) => feed.writer !== oak.peer)
  return others.reduce((sum, { durable }) => sum + (durable?.nextOffset ?? 0), 0)
}

/** Time that passes when it is told to. */
class VirtualClock implements Clock {
  #nowMs = 0
  #timers: { readonly atMs: number; readonly run: () => void }[] = []

  nowMs(): number {
    return this.#nowMs
  }

  wallMs(): number {
    return 1_700_000_000_000 + Math.floor(this.#nowMs)
  }

  after(afterMs: number, run: () => void): void {
    this.#timers.push({ atMs: this.#nowMs + afterMs, run })
  }

  /** Runs what is due, in order. */
  advance(ms: number): void {
    this.#nowMs += ms
    const due = this.#timers.filter(({ atMs }) => atMs <= this.#nowMs).toSorted((a, b) => a.atMs - b.atMs)
    this.#timers = this.#timers.filter(({ atMs }) => atMs > this.#nowMs)
    for (const { run } of due) run()
  }
}
