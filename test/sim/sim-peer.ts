import { bootPeer } from '#node/boot'
import { nodeDigests } from '#node/node-digests'
import { membershipProfiles } from '#protocol/membership/config'
import { readBatchHeader } from '#protocol/log/batch'
import { hexOf } from '#protocol/text'
import type { BootOptions } from '#node/boot'
import type { PeerDriver } from '#node/driver'
import type { Clock } from '#node/driver-ports'
import type { ReadSource } from '#node/reader'
import type { Epoch, PeerId } from '#protocol/ids'
import type { Machine, Random } from '#protocol/machine'
import type { PeerEffect, PeerInput } from '#protocol/peer/inputs'
import type { Peer } from '#protocol/peer/peer'
import type { FeedStore } from '#storage/feed-store'
import type { Dice } from './dice.ts'
import type { Host } from './host.ts'
import { Life } from './life.ts'
import { addressOf } from './network.ts'
import type { SimNetwork } from './network.ts'
import type { Scheduler } from './scheduler.ts'
import { SimDisk } from './sim-disk.ts'
import { SimStore } from './sim-store.ts'
import type { StoreOptions } from './sim-store.ts'
import type { Trace } from './trace.ts'

export const cluster = 'sim'
/** Wall time when a run begins. */
const wallMsAtStart = Date.UTC(2030, 0, 1)

/** Where planted bugs get in: what a peer is made of, made wrong. */
export interface Sabotage {
  readonly wrongRules?: NonNullable<BootOptions['wrongRules']>
  readonly decorate?: (peer: Peer) => Machine<PeerInput, PeerEffect>
  readonly store?: (store: FeedStore) => FeedStore
  readonly source?: (source: ReadSource) => ReadSource
  readonly epochOf?: (peer: PeerId, epoch: Epoch) => Epoch
}

export interface SimPeerDeps {
  readonly scheduler: Scheduler
  readonly network: SimNetwork
  readonly trace: Trace
  /** For what the peer decides by chance. */
  readonly random: Random
  readonly storeDice: Dice
  readonly store: StoreOptions
  readonly seeds: readonly PeerId[]
  readonly sabotage: Sabotage
}

interface Run {
  readonly life: Life
  readonly host: Host
  readonly store: SimStore
  readonly bootedAtMs: number
  /** Undefined while it reads its disk. */
  driver: PeerDriver | undefined
}

/** One machine with a disk, on which the peer process is started, killed, paused and stopped. */
export class SimPeer {
  readonly id: PeerId
  readonly disk = new SimDisk()
  readonly #deps: SimPeerDeps
  #run: Run | undefined

  constructor(id: PeerId, deps: SimPeerDeps) {
    this.id = id
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

  /** What a reader at this peer reads from. */
  get source(): ReadSource | undefined {
    const driver = this.driver
    return driver === undefined ? undefined : (this.#deps.sabotage.source?.(driver) ?? driver)
  }

  get host(): Host | undefined {
    return this.#run?.host
  }

  /** Of the run that is under way; 0 while there is none. */
  get upForMs(): number {
    return this.#run === undefined ? 0 : this.#deps.scheduler.nowMs - this.#run.bootedAtMs
  }

  wallMs(): number {
    return wallMsAtStart + this.#deps.scheduler.nowMs
  }

  async boot(): Promise<void> {
    if (this.#run !== undefined) return
    const { scheduler, network, storeDice, trace, sabotage } = this.#deps
    const life = new Life(scheduler)
    const host = network.attach(this.id, life)
    const options = this.#deps.store
    const store = new SimStore({ disk: this.disk, scheduler, life, dice: storeDice, options, hlcMsOf })
    const run: Run = { life, host, store, bootedAtMs: scheduler.nowMs, driver: undefined }
    this.#run = run
    const epoch = this.#drawEpoch()
    trace.line(this.id, 'boot', `epoch ${epoch.slice(0, 4)}, ${this.disk.feeds.size} feeds on disk`)
    const driver = await bootPeer({
      self: this.id,
      epoch,
      cluster,
      facts: { name: this.id, addresses: [addressOf(this.id)], http: `http://${this.id}:8400`, zone: '' },
      seeds: this.#deps.seeds.map(addressOf),
      membership: membershipProfiles.lan,
      store: sabotage.store?.(store) ?? store,
      transport: host,
      clock: this.#clockOf(run),
      digests: nodeDigests,
      random: this.#deps.random,
      onStorageFailed: (error) => {
        throw error
      },
      onMemberChanged: ({ peer, from, to, incarnation, by, reason }) =>
        trace.line(this.id, 'member', `${peer} ${from} to ${to}, incarnation ${incarnation}, by ${by}: ${reason}`),
      onBadFrame: (peer, what) => {
        throw new Error(`${this.id} does not understand a frame of ${peer}: ${what}`)
      },
      ...(sabotage.wrongRules && { wrongRules: sabotage.wrongRules }),
      ...(sabotage.decorate && { decorate: sabotage.decorate }),
    })
    run.driver = driver
    host.listen(driver)
    driver.start()
  }

  /** kill -9, or with `powerCut` the whole machine: an append under way is on disk or is not. */
  crash(how: 'exit' | 'powerCut'): void {
    const run = this.#run
    if (run === undefined) return
    this.#deps.trace.line(this.id, 'crash', how === 'exit' ? 'killed' : 'power cut')
    this.#end(run, how)
  }

  /** While nobody runs on it, the end of the disk's log is damaged, or with Infinity all of it. */
  loseWrites(writes: number): void {
    const { nowMs } = this.#deps.scheduler
    const count = Number.isFinite(writes) ? this.disk.loseTail(writes, nowMs) : this.disk.wipe(nowMs)
    this.#deps.trace.line(this.id, 'damage', `the last ${writes} writes are lost, ${count} batches in them`)
  }

  pause(forMs: number): void {
    this.#deps.trace.line(this.id, 'pause', `for ${forMs.toFixed(0)} ms`)
    this.#run?.life.pause(forMs)
  }

  /** In good order: says farewell, gives it a moment to be heard, ends. */
  leave(): void {
    const run = this.#run
    if (run?.driver === undefined) return
    this.#deps.trace.line(this.id, 'leave', '')
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

  #clockOf({ life, bootedAtMs }: Run): Clock {
    const { scheduler } = this.#deps
    return {
      nowMs: () => scheduler.nowMs - bootedAtMs,
      wallMs: () => this.wallMs(),
      // As Node's timers: whole milliseconds, cut off, at least one; so a timer can be early by a part of one.
      after: (afterMs, run) => scheduler.after(Math.max(1, Math.trunc(afterMs)), () => life.do(run)),
    }
  }

  #drawEpoch(): Epoch {
    const bytes = Uint8Array.from({ length: 8 }, () => Math.floor(this.#deps.random.next() * 256))
    const epoch = hexOf(bytes) as Epoch
    return this.#deps.sabotage.epochOf?.(this.id, epoch) ?? epoch
  }
}

function hlcMsOf(batch: Uint8Array): number {
  const header = readBatchHeader(batch)
  if (typeof header === 'string') throw new Error(`damaged batch on a simulated disk: ${header}`)
  return header.hlc.ms
}
