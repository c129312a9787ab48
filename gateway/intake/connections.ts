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
  /** It is no HTTP any more: a WebSocket, or about to become one. */
  isUpgraded: boolean
  /** Ends what asked to become a WebSocket and became none. */
  handshake: NodeJS.Timeout | undefined
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
    const rest = { isUpgraded: false, handshake: undefined, headFrom: 0, sentBytes: 0, progressMs: nowMs }
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

  /**
   * It asks to become a WebSocket. Node has let go of it, so until it is served nobody reads it, nor sees it close; and when it is
   * refused, the adaptor just ends our half.
   */
  upgraded(socket: Socket): void {
    const connection = this.#open.get(socket)
    if (connection === undefined) return
    connection.isUpgraded = true
    this.#endIn(connection, handshakeMsMax)
    socket.once('finish', () => {
      if (connection.handshake === undefined) return
      // Closed with bytes unread it would be reset, and the reset overtakes the answer (RFC 9112 §9.6).
      socket.resume()
      this.#endIn(connection, refusedMs)
    })
  }

  #endIn(connection: Connection, ms: number): void {
    clearTimeout(connection.handshake)
    connection.handshake = setTimeout(() => void connection.socket.destroy(), ms).unref()
  }

  /** It is a WebSocket, and ends as such. */
  served(socket: Socket): void {
    const connection = this.#open.get(socket)
    if (connection === undefined) return
    clearTimeout(connection.handshake)
    connection.handshake = undefined
  }

  /** Ends all at once, also those that Node has let go of. */
  cut(): void {
    for (const socket of this.#open.keys()) socket.destroy()
  }

  of(socket: Socket): Connection | undefined {
    return this.#open.get(socket)
  }

  #end(socket: Socket): void {
    const connection = this.#open.get(socket)
    if (connection === undefined) return
    this.#open.delete(socket)
    clearTimeout(connection.handshake)
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

/** To find out whose a token is may take a look at keys that are elsewhere. */
const handshakeMsMax = 30_000
/** What a client that was refused has to close its half. */
const refusedMs = 2_000

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
