import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { MeshError } from '#protocol/errors'
import { limits } from '#protocol/limits'
import type { ClientAddresses, SocketAddress } from './client-address.ts'
import { type GatewayBound, overloaded } from '../overload.ts'

export interface ConnectionsConfig {
  readonly connectionsMax: number
  readonly unsentBytesMax: number
  readonly arrivingHeadBytesMax: number
}

/** What is known of the socket of a client, WebSockets included. */
export interface Connection extends SocketAddress {
  readonly socket: Socket
  /** Why it gets no other answer than this: there were too many when it came. */
  readonly refusal: MeshError | undefined
  /** Answers under way; with pipelining there may be several. */
  readonly answers: Set<ServerResponse>
  /** It speaks WebSocket now. */
  isUpgraded: boolean
  /** Bytes read from it when its last answer was over: what came since is a head that is not whole yet. */
  headFrom: number
  /** Bytes that had left this process when that was last looked at, and when they became more. */
  sentBytes: number
  progressMs: number
}

/** Bytes that are in memory for the connections of clients. */
export interface HeldBytes {
  /** Of answers, streams and frames that are not taken yet. */
  readonly unsent: number
  /** Of heads of requests that are not whole yet. */
  readonly heads: number
}

export interface ConnectionsDeps {
  readonly addresses: ClientAddresses
  /** Told before a connection is cut for the memory that it takes. */
  readonly onCut: (bound: GatewayBound) => void
}

/**
 * The connections of clients: how many, of whom, with how many requests under way, and what they hold in memory (P10).
 *
 * 1. One connection too many, of all or of one address, is told why and closed, instead of nothing.
 * 2. What waits to be sent is looked at all together, a few times a second: whatever it is (pages, streams, frames, pongs) and
 *    whoever wrote it. When it is too much, those go first that have taken nothing for longest. They have lost nothing but
 *    the connection: a cursor says where they were.
 * 3. So are heads that are not whole yet: those go first that have become largest.
 */
export class Connections {
  readonly #config: ConnectionsConfig
  readonly #deps: ConnectionsDeps
  readonly #open = new Map<Socket, Connection>()
  readonly #ofClient = new Map<string, number>()
  #requests = 0
  #held: HeldBytes = { unsent: 0, heads: 0 }

  constructor(config: ConnectionsConfig, deps: ConnectionsDeps) {
    this.#config = config
    this.#deps = deps
  }

  get count(): number {
    return this.#open.size
  }

  /** Requests under way. */
  get requests(): number {
    return this.#requests
  }

  /** As it was when it was last looked at. */
  get held(): HeldBytes {
    return this.#held
  }

  /** So much waits to be sent that no more should be made ready. */
  get isFull(): boolean {
    return this.#held.unsent > this.#config.unsentBytesMax / 2
  }

  /** A socket is here; what is known of it until it closes. */
  begin(socket: Socket, nowMs: number): void {
    const address = this.#deps.addresses.ofSocket(socket.remoteAddress)
    const { client } = address
    const ofClient = (this.#ofClient.get(client) ?? 0) + 1
    this.#ofClient.set(client, ofClient)
    const refusal = this.#refusal(address, ofClient)
    const rest = { isUpgraded: false, headFrom: 0, sentBytes: 0, progressMs: nowMs }
    this.#open.set(socket, { ...address, socket, refusal, answers: new Set(), ...rest })
    socket.once('close', () => this.#end(socket))
  }

  #refusal({ isProxy }: SocketAddress, ofClient: number): MeshError | undefined {
    const { connectionsMax } = this.#config
    if (this.#open.size >= connectionsMax) {
      return overloaded('connections', `This peer serves ${connectionsMax} connections already.`)
    }
    // Nobody alone takes all that there is.
    const ofClientMax = Math.ceil(connectionsMax / 2)
    if (isProxy || ofClient <= ofClientMax) return undefined
    return overloaded('connections-of-client', `This peer serves ${ofClientMax} connections of this address already.`)
  }

  /** From now on it speaks WebSocket. */
  upgraded(socket: Socket): void {
    const connection = this.#open.get(socket)
    if (connection !== undefined) connection.isUpgraded = true
  }

  of(socket: Socket): Connection | undefined {
    return this.#open.get(socket)
  }

  #end(socket: Socket): void {
    const connection = this.#open.get(socket)
    if (connection === undefined) return
    this.#open.delete(socket)
    this.#requests -= connection.answers.size
    connection.answers.clear()
    const left = (this.#ofClient.get(connection.client) ?? 1) - 1
    if (left === 0) this.#ofClient.delete(connection.client)
    else this.#ofClient.set(connection.client, left)
  }

  /** A request is under way from now on until its answer is over, even if it is refused for this reason. */
  beginRequest(connection: Connection, answer: ServerResponse): MeshError | undefined {
    this.#requests++
    connection.answers.add(answer)
    if (connection.refusal !== undefined) return connection.refusal
    if (connection.answers.size > limits.pipelinedRequestsMax) {
      return overloaded('pipelined', `A connection has at most ${limits.pipelinedRequestsMax} requests under way.`)
    }
    if (this.#requests <= this.#config.connectionsMax) return undefined
    return overloaded('requests', `${this.#config.connectionsMax} requests are under way at this peer.`)
  }

  endRequest(connection: Connection, answer: ServerResponse): void {
    // Those of a connection that has closed are counted off already.
    if (!connection.answers.delete(answer)) return
    this.#requests--
    connection.headFrom = connection.socket.bytesRead
  }

  /** Looks at what is held, and cuts those that hold too much. */
  look(nowMs: number): void {
    const unsent: Holder[] = []
    const heads: Holder[] = []
    for (const connection of this.#open.values()) {
      const bytes = unsentOf(connection)
      const sentBytes = connection.socket.bytesWritten - connection.socket.writableLength
      if (bytes === 0 || sentBytes > connection.sentBytes) connection.progressMs = nowMs
      connection.sentBytes = sentBytes
      if (bytes > 0) unsent.push({ connection, bytes })
      const head = headOf(connection)
      if (head > 0) heads.push({ connection, bytes: head })
    }
    const { unsentBytesMax, arrivingHeadBytesMax } = this.#config
    this.#held = {
      unsent: this.#cut('unsent', unsent.toSorted(slowestFirst), unsentBytesMax),
      heads: this.#cut('heads', heads.toSorted(largestFirst), arrivingHeadBytesMax),
    }
  }

  /** Of those that hold too much together the first go until it is not too much any more; returns what is left. */
  #cut(bound: GatewayBound, holders: readonly Holder[], bytesMax: number): number {
    let sum = holders.reduce((bytes, holder) => bytes + holder.bytes, 0)
    for (const { connection, bytes } of holders) {
      if (sum <= bytesMax) break
      sum -= bytes
      this.#deps.onCut(bound)
      connection.socket.destroy()
    }
    return sum
  }
}

const slowestFirst = (a: Holder, b: Holder): number => a.connection.progressMs - b.connection.progressMs
const largestFirst = (a: Holder, b: Holder): number => b.bytes - a.bytes

interface Holder {
  readonly connection: Connection
  readonly bytes: number
}

/** What waits in the socket, and the answers that wait for those before them. */
function unsentOf({ socket, answers }: Connection): number {
  let bytes = socket.writableLength
  if (answers.size > 1) for (const answer of answers) if (answer.socket === null) bytes += answer.writableLength
  return bytes
}

const headOf = ({ socket, isUpgraded, answers, headFrom }: Connection): number =>
  isUpgraded || answers.size > 0 ? 0 : socket.bytesRead - headFrom
