import { Registry } from 'prom-client'
import type { Broker } from '#gateway/broker'
import type { GatewayMetrics } from '#gateway/metrics'
import type { GatewayServer } from '#gateway/server'
import { MeshError } from '#protocol/errors'
import type { PeerDriver } from './driver.ts'
import { spaceAt } from './disk-space.ts'
import type { Clock } from './driver-ports.ts'
import { gatewayFigures, publishFigures } from './metrics/client-figures.ts'
import { FigureMaker } from './metrics/figure.ts'
import { meshFigures } from './metrics/mesh-figures.ts'
import { eventLoopFigures, infoFigure, openFileDescriptors, processFigures } from './metrics/process-figures.ts'
import { producerFigures } from './metrics/producer-figures.ts'
import { replicationFigures } from './metrics/replication-figures.ts'
import { topicFigures } from './metrics/topic-figures.ts'
import { splitFigures } from './metrics/split-figures.ts'
import { storageFigures } from './metrics/storage-figures.ts'

/** What is asked at a scrape. */
export interface MeasuredParts {
  readonly broker: Pick<Broker, 'self'>
  readonly driver: PeerDriver
  readonly gateway: Pick<GatewayServer, 'load'>
  readonly clock: Clock
  /** Connections that were refused since the start. */
  readonly strangers: () => number
  /** Directory of the store, if there is one. */
  readonly data?: string
}

/**
 * The figures of one peer (docs/metrics.md), in a registry of its own. What happens is told once per publish, request or
 * commit, never per record; what is, is asked of the machines' snapshots when somebody scrapes, so they know nothing of it.
 */
export class PeerMetrics implements GatewayMetrics {
  readonly #registry = new Registry()
  readonly #make = new FigureMaker(this.#registry)
  readonly #info = infoFigure(this.#make)
  readonly #publish = publishFigures(this.#make)
  readonly #gateway = gatewayFigures(this.#make)
  readonly #storage = storageFigures(this.#make)
  readonly #replication = replicationFigures(this.#make)
  readonly #topics = topicFigures(this.#make)
  readonly #mesh = meshFigures(this.#make)
  readonly #splits = splitFigures(this.#make)
  readonly #producers = producerFigures(this.#make)
  readonly #eventLoop = eventLoopFigures(this.#make)
  readonly #process = processFigures(this.#make)
  #parts: MeasuredParts | undefined

  readonly contentType = this.#registry.contentType
  readonly answered = this.#gateway.answered
  readonly refused = this.#gateway.refused
  readonly cut = this.#gateway.cut
  readonly read = this.#gateway.read
  readonly published = this.#publish.published
  readonly committed = this.#storage.committed
  readonly memberChanged = this.#mesh.changed
  readonly doubled = this.#mesh.doubled
  readonly partition = this.#splits.told

  /** From now on there is a peer to ask. */
  attach(parts: MeasuredParts): void {
    this.#parts = parts
  }

  async text(): Promise<string> {
    if (this.#parts === undefined) throw new MeshError('UNAVAILABLE', 'This peer is starting')
    const { broker, driver, gateway, clock, data, strangers } = this.#parts
    const space = data === undefined ? undefined : spaceAt(data)
    const [disk, openFds] = await Promise.all([space, openFileDescriptors()])
    const load = gateway.load()
    this.#info(broker.self)
    this.#publish.collect(driver.buffers())
    this.#gateway.collect(load)
    this.#storage.collect(driver.buffers(), disk, driver.isDiskFull)
    this.#replication.collect(driver.peer)
    this.#topics.collect(driver.peer)
    this.#splits.collect(driver.peer)
    this.#producers.collect(driver.peer, clock.wallMs())
    this.#mesh.collect(driver, driver.peer.membership.snapshot(clock.nowMs()), strangers())
    this.#eventLoop.collect()
    this.#process.collect(openFds)
    return this.#registry.metrics()
  }

  stop(): void {
    this.#eventLoop.stop()
  }
}
