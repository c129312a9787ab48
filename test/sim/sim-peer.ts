import { bootPeer } from '#node/boot'
import { PeerBroker } from '#node/broker'
import { nodeDigests } from '#node/node-digests'
import { Scrub } from '#node/scrub'
import { membershipProfiles } from '#protocol/membership/config'
import { hexOf } from '#protocol/text'
import type { BootOptions, WrongRules } from '#node/boot'
import type { Reader } from '#gateway/broker'
import type { PartitionNews, PeerDriver } from '#node/driver'
import type { Clock } from '#node/driver-ports'
import type { ReadSource } from '#node/reader'
import type { Epoch, PeerId } from '#protocol/ids'
import type { Machine, Random } from '#protocol/machine'
import type { PeerEffect, PeerInput } from '#protocol/peer/inputs'
import type { Peer } from '#protocol/peer/peer'
import type { ReplicationConfig } from '#protocol/replication/config'
import type { BatchToStore, FeedStore, StoreChange } from '#storage/feed-store'
import type { Dice } from './dice.ts'
import type { Host } from './host.ts'
import { Life } from './life.ts'
import { addressOf } from './network.ts'
import type { SimNetwork } from './network.ts'
import { OlderVersion } from './older-version.ts'
import type { Scheduler } from './scheduler.ts'
import { type Backup, SimDisk } from './sim-disk.ts'
import { SimStore } from './sim-store.ts'
import type { StoreOptions } from './sim-store.ts'
import type { LinkOptions } from './swarm.ts'
import type { Trace } from './trace.ts'
import type { WallClock } from './wall-clock.ts'

export const cluster = 'sim'
/** Whatever a world stores is looked through within seconds. */
const scrubBytesPerSecond = 64 * 1024 * 1024

export type Publisher = Pick<PeerBroker, 'publish' | 'awaitCopies'>

/** Where planted bugs get in: what a peer is made of, made wrong. */
export interface Sabotage {
  readonly wrongRules?: WrongRules
  readonly decorate?: (peer: Peer) => Machine<PeerInput, PeerEffect>
  readonly store?: (store: FeedStore, disk: SimDisk) => FeedStore
  readonly publisher?: (broker: Publisher) => Publisher
  readonly source?: (source: ReadSource) => ReadSource
  readonly reader?: (reader: Reader) => Reader
  readonly clock?: (clock: Clock) => Clock
  readonly epochOf?: (peer: PeerId, epoch: Epoch, disk: SimDisk) => Epoch
}

export interface SimPeerDeps {
  readonly scheduler: Scheduler
  readonly network: SimNetwork
  readonly trace: Trace
  /** For what the peer decides by chance. */
  readonly random: Random
  readonly storeDice: Dice
  readonly store: StoreOptions
  readonly checkpointEvery: number
  readonly wallClock: WallClock
  /** What is handed to the disk, at that moment. */
  readonly onAppend: (peer: SimPeer, batches: readonly BatchToStore[], changes: readonly StoreChange[]) => void
  /** It has noticed that its disk is full, or is not any more; so many batches are on their way there. */
  readonly onDiskChanged: (peer: SimPeer, full: boolean, batchesUnderWay: number) => void
  /** How often peers look through their disks; undefined: never. */
  readonly scrubPauseMs: number | undefined
  /** Does anybody look at how much room there is? */
  readonly watchesSpace: boolean
  /** It has handed over all that it holds, and belongs no longer. */
  readonly onHandedOver: (peer: SimPeer) => void
  /** Its process has ended by itself. */
  readonly onDied: (peer: SimPeer) => void
  readonly seeds: readonly PeerId[]
  readonly links: Partial<LinkOptions>
  /** In so many of its runs, the first ones, it is of the version before this one. */
  readonly olderRuns: number
  readonly zone: string
  readonly replication: Partial<ReplicationConfig>
  readonly deletedGraceMs: number
  readonly compactTopicsAfter: number
  readonly sabotage: Sabotage
}

interface Run {
  readonly life: Life
  readonly host: Host
  readonly store: SimStore
  readonly bootedAtMs: number
  /** Undefined while it reads its disk. */
  driver: PeerDriver | undefined
  publisher: Publisher | undefined
}

/** One machine with a disk, on which the peer process is started, killed, paused and stopped. */
export class SimPeer {
  readonly id: PeerId
  /** What traces and paths call it: the peer, but for a clone. */
  readonly machine: PeerId
  readonly disk = new SimDisk()
  /** Another machine with the same identity, begun with an image of this disk. */
  twin: SimPeer | undefined
  readonly wallClock: WallClock
  /** How often a process of this identity was started. */
  boots = 0
  /** It was switched off for good. */
  isRetired = false
  readonly #deps: SimPeerDeps
  readonly #origin: SimPeer | undefined
  #run: Run | undefined
  #hadTwin = false

  /** With `origin` it is the twin of that. */
  constructor(id: PeerId, deps: SimPeerDeps, origin?: SimPeer) {
    this.id = id
    this.machine = origin === undefined ? id : (`${id}2` as PeerId)
    this.#origin = origin
    this.wallClock = deps.wallClock
    this.#deps = deps
  }

  get isDown(): boolean {
    return this.#run === undefined
  }

  /** The running peer; undefined while it is down or reads its disk. */
  get driver(): PeerDriver | undefined {
    return this.#run?.driver
  }

  /** What a client asks of the running process waits while that is paused, and is lost when it dies. */
  do(task: () => void): void {
    this.#run?.life.do(task)
  }

  /** What the gateway would publish to. */
  get publisher(): Publisher | undefined {
    return this.#run?.publisher
  }

  /** What a client that reads here is given. */
  readerOf(reader: Reader): Reader {
    return this.#deps.sabotage.reader?.(reader) ?? reader
  }

  /** What a reader at this peer reads from. */
  get source(): ReadSource | undefined {
    const driver = this.driver
    return driver && (this.#deps.sabotage.source?.(driver.source) ?? driver.source)
  }

  get host(): Host | undefined {
    return this.#run?.host
  }

  /** Of the run that is under way; 0 while there is none. */
  get upForMs(): number {
    return this.#run === undefined ? 0 : this.#deps.scheduler.nowMs - this.#run.bootedAtMs
  }

  async boot(): Promise<void> {
    const isOver = this.#origin !== undefined && this.#origin.twin !== this
    if (this.#run !== undefined || isOver || this.isRetired) return
    const { scheduler, network, storeDice, trace, sabotage } = this.#deps
    const life = new Life(scheduler)
    const host = network.attach(this.id, life, this.machine)
    const options = this.#deps.store
    const onAppend = (...append: [readonly BatchToStore[], readonly StoreChange[]]): void => {
      this.#deps.onAppend(this, ...append)
    }
    const store = new SimStore({ disk: this.disk, scheduler, life, dice: storeDice, options, onAppend })
    const run: Run = { life, host, store, bootedAtMs: scheduler.nowMs, driver: undefined, publisher: undefined }
    this.#run = run
    this.boots++
    if (this.#origin !== undefined) this.#origin.boots++
    const epoch = this.#drawEpoch()
    // It has not looked at its disk yet.
    this.#deps.onDiskChanged(this, false, 0)
    const isOlder = this.boots <= this.#deps.olderRuns
    const of = isOlder ? ', of the version before' : ''
    trace.line(this.machine, 'boot', `epoch ${epoch.slice(0, 4)}, ${this.disk.feeds.size} feeds on disk${of}`)
    const driver = await bootPeer({
      self: this.id,
      epoch,
      cluster,
      facts: {
        name: this.id,
        addresses: [addressOf(this.machine)],
        http: `http://${this.id}:8400`,
        zone: this.#deps.zone,
      },
      seeds: this.#deps.seeds.map(addressOf),
      membership: { ...membershipProfiles.lan, ...this.#deps.links },
      replication: this.#deps.replication,
      deletedGraceMs: this.#deps.deletedGraceMs,
      compactTopicsAfter: this.#deps.compactTopicsAfter,
      store: sabotage.store?.(store, this.disk) ?? store,
      transport: host,
      clock: sabotage.clock?.(this.#clockOf(run)) ?? this.#clockOf(run),
      digests: nodeDigests,
      random: this.#deps.random,
      checkpointEvery: this.#deps.checkpointEvery,
      onStorageFailed: (error) => {
        trace.line(this.machine, 'crash', error.code)
        this.#end(run, 'exit')
        this.#deps.onDied(this)
      },
      onMemberChanged: ({ peer, from, to, incarnation, by, reason }) =>
        trace.line(this.machine, 'member', `${peer} ${from} to ${to}, incarnation ${incarnation}, by ${by}: ${reason}`),
      ...this.#identityNews(),
      ...(this.#deps.watchesSpace && { space: () => store.space() }),
      onDiskChanged: (full) => {
        trace.line(this.machine, 'disk', full ? 'is full' : 'has room again')
        this.#deps.onDiskChanged(this, full, driver.buffers().commitBatches)
      },
      onDamage: ({ type, feed, range: { from, to } }) =>
        trace.line(this.machine, type, `${feed.writer}.${feed.epoch.slice(0, 4)} [${from}, ${to})`),
      onBadFrame: (peer, what) => {
        throw new Error(`${this.id} does not understand a frame of ${peer}: ${what}`)
      },
      ...(sabotage.wrongRules && { wrongRules: sabotage.wrongRules }),
      ...this.#decorated(isOlder),
    })
    run.driver = driver
    run.publisher = this.#publisherOf(driver, run)
    host.listen(driver)
    driver.start()
    this.#scrub(driver, run)
  }

  #decorated(isOlder: boolean): Pick<BootOptions, 'decorate'> {
    const { decorate } = this.#deps.sabotage
    if (!isOlder) return { ...(decorate && { decorate }) }
    return { decorate: (peer) => new OlderVersion(decorate?.(peer) ?? peer) }
  }

  #identityNews(): Pick<BootOptions, 'onDouble' | 'onStatusChanged' | 'onPartition'> {
    const { trace, onHandedOver } = this.#deps
    return {
      onPartition: (news) => trace.line(this.machine, ...partitionWords(news)),
      onDouble: (addresses) => {
        trace.line(this.machine, 'double', addresses.join(' '))
        if (!this.#hadTwin && this.#origin === undefined) throw new Error(`${this.id} takes itself for two`)
      },
      onStatusChanged: ({ peer, status: { type, generation }, why }) => {
        trace.line(this.machine, 'status', `${peer} is ${type} of generation ${generation}: ${why}`)
        if (why === 'handedOver') onHandedOver(this)
      },
    }
  }

  #scrub(driver: PeerDriver, run: Run): void {
    const { scrubPauseMs: pauseMs } = this.#deps
    if (pauseMs === undefined) return
    const scrub = new Scrub(
      { bytesPerSecond: scrubBytesPerSecond, pauseMs },
      {
        store: run.store,
        feeds: () => Array.from(driver.peer.replication.local.all(), ({ feed }) => feed),
        clock: this.#clockOf(run),
        digests: nodeDigests,
        onDamage: (feed, range) => driver.damageFound(feed, range),
      },
    )
    void scrub.run()
  }

  /** Somebody sets the clock of the machine. */
  setClock(byMs: number): void {
    this.#deps.trace.line(this.machine, 'clock', `set by ${byMs} ms`)
    this.wallClock.jump(byMs)
  }

  /** kill -9, or with `powerCut` the whole machine: an append under way is on disk or is not. */
  crash(how: 'exit' | 'powerCut'): void {
    const run = this.#run
    if (run === undefined) return
    this.#deps.trace.line(this.machine, 'crash', how === 'exit' ? 'killed' : 'power cut')
    this.#end(run, how)
  }

  /** While nobody runs on it, the end of the disk's log is damaged, or with Infinity all of it. */
  loseWrites(writes: number): void {
    const { nowMs } = this.#deps.scheduler
    const count = Number.isFinite(writes) ? this.disk.loseTail(writes, nowMs) : this.disk.wipe(nowMs)
    this.#deps.trace.line(this.machine, 'damage', `the last ${writes} writes are lost, ${count} batches in them`)
  }

  /** While nobody runs on it, the disk is put back to where it was. */
  restore(backup: Backup): void {
    const count = this.disk.restore(backup, this.#deps.scheduler.nowMs)
    this.#deps.trace.line(this.machine, 'restore', `from a backup, ${count} batches are gone`)
  }

  /** Somebody starts a copy of this machine, which runs already. */
  startTwin(dice: Pick<SimPeerDeps, 'random' | 'storeDice'>): void {
    const twin = new SimPeer(this.id, { ...this.#deps, ...dice }, this)
    twin.disk.copy(this.disk.backup())
    this.twin = twin
    this.#hadTwin = true
    this.disk.twin = twin.disk
    void twin.boot()
  }

  /** It is switched off for good. What it alone had is gone. */
  endTwin(): void {
    this.twin?.crash('powerCut')
    this.twin = undefined
    this.disk.loseTwin(this.#deps.scheduler.nowMs)
  }

  /** It has never met the mesh, and knows nobody else to ask. */
  joinsOnlyBy(peer: PeerId): boolean {
    const others = this.#deps.seeds.filter((seed) => seed !== this.id)
    const hasJoined = this.boots > 0 && this.driver?.peer.membership.registryView().merged !== false
    return !hasJoined && others.length > 0 && others.every((seed) => seed === peer)
  }

  /** It was told to join by somebody whom it has not met: two meshes may meet through it alone. */
  get isStillJoining(): boolean {
    const known = this.driver?.peer.membership.registryView().peers ?? []
    return this.#deps.seeds.some((seed) => seed !== this.id && !known.includes(seed))
  }

  /** Nobody starts it again. Its disk stays as it is. */
  retire(): void {
    this.#deps.trace.line(this.machine, 'retire', 'switched off for good')
    this.crash('exit')
    this.isRetired = true
  }

  pause(forMs: number): void {
    this.#deps.trace.line(this.machine, 'pause', `for ${forMs.toFixed(0)} ms`)
    this.#run?.life.pause(forMs)
  }

  /** There is room for so many bytes more on its disk. */
  fillDisk(roomBytes: number): void {
    this.#deps.trace.line(this.machine, 'full disk', `room for ${roomBytes} bytes`)
    this.disk.capacity = this.disk.usedBytes + roomBytes
  }

  slowDisk(factor: number, forMs: number): void {
    this.#deps.trace.line(this.machine, 'slow disk', `${factor} times, for ${forMs} ms`)
    this.disk.slow = { factor, untilMs: this.#deps.scheduler.nowMs + forMs }
  }

  goOn(): void {
    this.#run?.life.goOn()
  }

  /** In good order: says farewell, gives it a moment to be heard, ends. */
  leave(): void {
    const run = this.#run
    if (run?.driver === undefined) return
    this.#deps.trace.line(this.machine, 'leave', '')
    run.driver.leave()
    this.#deps.scheduler.after(200, () => {
      if (run.life.over) return
      run.driver?.stop()
      this.#end(run, 'exit')
    })
  }

  #end(run: Run, how: 'exit' | 'powerCut'): void {
    run.life.end()
    run.store.crash()
    this.#deps.network.stop(run.host, how)
    this.#run = undefined
  }

  #publisherOf(driver: PeerDriver, run: Run): Publisher {
    const own = { peerId: this.id, name: this.id, cluster, epoch: driver.peer.epoch, listen: [addressOf(this.machine)] }
    const self = { ...own, http: '', version: '', startedAt: '', storage: 'memory' }
    const broker = new PeerBroker(self, { clock: this.#clockOf(run), digests: nodeDigests })
    broker.attach(driver, self, undefined)
    return this.#deps.sabotage.publisher?.(broker) ?? broker
  }

  #clockOf({ life, bootedAtMs }: Run): Clock {
    const { scheduler } = this.#deps
    return {
      nowMs: () => scheduler.nowMs - bootedAtMs,
      wallMs: () => this.wallClock.nowMs(),
      // As Node's timers: whole milliseconds, cut off, at least one; so a timer can be early by a part of one.
      after: (afterMs, run) => scheduler.after(Math.max(1, Math.trunc(afterMs)), () => life.do(run)),
    }
  }

  #drawEpoch(): Epoch {
    const bytes = Uint8Array.from({ length: 8 }, () => Math.floor(this.#deps.random.next() * 256))
    const epoch = hexOf(bytes) as Epoch
    return this.#deps.sabotage.epochOf?.(this.id, epoch, this.disk) ?? epoch
  }
}

/** What it was told as, and of whom. */
function partitionWords(news: PartitionNews): readonly [string, string] {
  switch (news.type) {
    case 'partitionChanged':
      return ['split', `reaches ${news.reachable.join(' ')} of ${news.known.join(' ')}`]
    case 'partitionHealed':
      return ['healed', news.back.join(' ')]
    case 'sidesMerged': {
      const { number, theirs, received } = news.heal
      const taken = theirs.map(({ peer, taken: { records } }) => `${peer} ${records}`)
      return ['merged', `heal ${number}: ${received.records} received, taken by ${taken.join(', ')}`]
    }
  }
}
