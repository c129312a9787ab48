import { dialReasonOf } from './dial-reason.ts'
import { networkLimits } from './network-limits.ts'
import { Recent } from '../recent.ts'
import type { NetworkLog } from './links.ts'
import type { Connection, MultiaddrConnection, StreamCloseEvent } from '@libp2p/interface'
import type { PeerId } from '#protocol/ids'

/** Of each reason: a port that is scanned, or a peer with an old secret, comes again and again. */
const quietMs = 60_000
/** Reasons are texts of libraries, too, and quote what a stranger sent: beyond so many in `quietMs`, the others share one. */
const reasonsMax = 16
const others = 'other reasons'

/** Told once a minute for each reason. */
export interface StrangerNews {
  readonly reason: string
  readonly address: string
  /** If it has said who it is. */
  readonly peer?: PeerId
  /** Since the last word. */
  readonly connections: number
}

interface Refused {
  readonly peer: PeerId
  readonly connection: Connection
  readonly reason: string
  readonly isSure: boolean
}

interface Told {
  /** Connections since the last word. */
  untold: number
  atMs: number
}

/**
 * Tells of connections that are none of ours: they end before their other side has said who it is (bytes of another protocol,
 * damaged ones), or it is not admitted.
 */
export class Strangers {
  readonly #log: NetworkLog
  readonly #onRefused: (news: StrangerNews) => void
  readonly #unidentified = new WeakSet<MultiaddrConnection>()
  readonly #told = new Map<string, Told>()
  /** Addresses that strangers came from. */
  readonly #slowed = new Recent({ forMs: networkLimits.strangerMemoryMs, keysMax: networkLimits.strangerAddressesMax })
  /** Connections, since the start. */
  count = 0

  constructor(log: NetworkLog, onRefused: (news: StrangerNews) => void = () => {}) {
    this.#log = log
    this.#onRefused = onRefused
  }

  /** Resolves when it may go on. Only at the end of a handshake a stranger is known for one; the next from there waits (a tarpit). */
  async arrived(connection: MultiaddrConnection): Promise<void> {
    this.#unidentified.add(connection)
    connection.addEventListener('close', (event) => this.#closed(connection, event))
    if (this.#slowed.has(ipOf(connection), performance.now())) {
      await new Promise((resolve) => setTimeout(resolve, networkLimits.strangerDelayMs).unref())
    }
  }

  identified(connection: MultiaddrConnection): void {
    this.#unidentified.delete(connection)
  }

  /** `isSure`: it has shown that it is none of ours. Who was only too slow may be one. */
  refused({ peer, connection, reason, isSure }: Refused): void {
    if (isSure) this.#slowed.add(ipOf(connection), performance.now())
    this.#tell(reason, { address: connection.remoteAddr.toString(), peer })
  }

  /** Whoever it is: a member that dials too often is in no better place. */
  turnedAway(connection: MultiaddrConnection): void {
    this.#tell('there are as many connections as are taken', { address: connection.remoteAddr.toString() })
  }

  #closed(connection: MultiaddrConnection, { error }: StreamCloseEvent): void {
    if (!this.#unidentified.has(connection)) return
    const reason = error === undefined ? 'it closed the connection' : dialReasonOf(error)
    this.#tell(reason, { address: connection.remoteAddr.toString() })
  }

  #tell(reason: string, who: Pick<StrangerNews, 'address' | 'peer'>): void {
    this.count++
    const nowMs = performance.now()
    const kind = this.#kindOf(reason, nowMs)
    const told = this.#told.get(kind) ?? { untold: 0, atMs: Number.NEGATIVE_INFINITY }
    this.#told.set(kind, told)
    told.untold++
    if (nowMs - told.atMs < quietMs) return
    const news = { ...who, reason, connections: told.untold }
    this.#log('stranger refused', news)
    this.#onRefused(news)
    // Again as the last one, so that the first is who was told of longest ago.
    this.#told.delete(kind)
    this.#told.set(kind, { untold: 0, atMs: nowMs })
  }

  /** Under which this is counted: its text without the numbers in it, or `others` while there are many. */
  #kindOf(reason: string, nowMs: number): string {
    const kind = reason.replaceAll(/\d+/g, '#')
    if (this.#told.has(kind) || this.#told.size < reasonsMax) return kind
    const [oldest] = this.#told
    if (oldest === undefined || nowMs - oldest[1].atMs < quietMs) return others
    this.#told.delete(oldest[0])
    return kind
  }
}

const ipOf = ({ remoteAddr }: Pick<Connection, 'remoteAddr'>): string => remoteAddr.getComponents()[0]?.value ?? ''
