import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { MeshError } from '#protocol/errors'
import { limits } from '#protocol/limits'
import { ClientAddresses } from './client-address.ts'
import type { GatewayConfig } from '../config.ts'
import { Connections, type ConnectionsDeps } from './connections.ts'
import { rateLimited } from '../overload.ts'
import { Rates } from './rates.ts'

/** What every request goes through before anything is made of it: whose it is, and whether there is room for it. */
export class Intake {
  readonly connections: Connections
  readonly rates: Rates
  readonly #addresses: ClientAddresses
  readonly #looking: NodeJS.Timeout
  readonly #config: GatewayConfig
  readonly #deps: Pick<ConnectionsDeps, 'onCut'>
  /** Handshakes that came too fast, which are answered as requests. */
  readonly #hasty = new WeakMap<IncomingMessage, MeshError>()

  constructor(config: GatewayConfig, deps: Pick<ConnectionsDeps, 'onCut'>) {
    this.#config = config
    this.#deps = deps
    this.#addresses = new ClientAddresses(config.trustedProxies)
    this.connections = new Connections(config, { ...deps, addresses: this.#addresses })
    this.rates = new Rates(config.rates)
    this.#looking = setInterval(() => this.connections.look(performance.now()), config.lookEveryMs).unref()
  }

  /** All connections of this server go through here. */
  watch(server: Server): void {
    // Some more than that, who are told so.
    server.maxConnections = this.#config.connectionsMax + limits.connectionsRefusedMax
    server.on('drop', () => this.#deps.onCut('connections'))
    server.on('connection', (socket) => this.connections.begin(socket, performance.now()))
  }

  /** Why a request is refused, or undefined. It is under way until its answer closes. */
  take(incoming: IncomingMessage, outgoing: ServerResponse): MeshError | undefined {
    const connection = this.connections.of(incoming.socket)
    if (connection === undefined) return undefined
    const refusal = this.connections.beginRequest(connection, outgoing)
    if (refusal !== undefined) return refusal
    const client = this.clientOf(incoming, connection)
    const waitMs = this.rates.take(client)
    const fields = this.rates.fields(client)
    if (fields !== undefined) {
      outgoing.setHeader('ratelimit-policy', fields.policy)
      outgoing.setHeader('ratelimit', fields.limit)
    }
    return waitMs > 0 ? rateLimited(waitMs) : this.#hasty.get(incoming)
  }

  /** So many bytes of its body have come. Returns for how many milliseconds no more of them should be read. */
  spend(incoming: IncomingMessage, bytes: number): number {
    return this.rates.spend(this.clientOf(incoming), bytes)
  }

  end(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const connection = this.connections.of(incoming.socket)
    if (connection !== undefined) this.connections.endRequest(connection, outgoing)
  }

  /** Why a connection does not become a WebSocket, or undefined. */
  upgradeFault({ socket }: IncomingMessage): MeshError | undefined {
    return this.connections.of(socket)?.refusal
  }

  /**
   * The connection becomes a WebSocket; a handshake counts as a request. Why not, if that was one too many. Told, not listened
   * to: where anybody else listens for upgrades, the adaptor leaves it to them to answer one that is refused later, and nobody would.
   */
  upgrade(incoming: IncomingMessage): MeshError | undefined {
    const waitMs = this.rates.take(this.clientOf(incoming))
    const fault = waitMs > 0 ? rateLimited(waitMs) : undefined
    if (fault === undefined) this.connections.upgraded(incoming.socket)
    else this.#hasty.set(incoming, fault)
    return fault
  }

  /** Under what the limits of a request count: its address. */
  clientOf({ headers, socket }: IncomingMessage, connection = this.connections.of(socket)): string {
    if (connection === undefined) return ''
    if (!connection.isProxy) return connection.client
    return this.#addresses.ofForwarded(headers['x-forwarded-for'] as string | undefined, connection)
  }

  stop(): void {
    clearInterval(this.#looking)
  }
}
