import { dialReasonOf } from './dial-reason.ts'
import type { NetworkLog } from './links.ts'
import type { MultiaddrConnection, StreamCloseEvent } from '@libp2p/interface'

/** A port that is scanned or spoken to in another protocol says so this often, not with each connection. */
const quietMs = 1_000

/** Tells of connections that end before their other side has said who it is: bytes of another protocol, or damaged ones. */
export class Strangers {
  readonly #log: NetworkLog
  readonly #unidentified = new WeakSet<MultiaddrConnection>()
  #untold = 0
  #toldAtMs = -quietMs

  constructor(log: NetworkLog) {
    this.#log = log
  }

  arrived(connection: MultiaddrConnection): void {
    this.#unidentified.add(connection)
    connection.addEventListener('close', (event) => this.#closed(connection, event))
  }

  identified(connection: MultiaddrConnection): void {
    this.#unidentified.delete(connection)
  }

  #closed(connection: MultiaddrConnection, { error }: StreamCloseEvent): void {
    if (!this.#unidentified.has(connection)) return
    this.#untold++
    const nowMs = performance.now()
    if (nowMs - this.#toldAtMs < quietMs) return
    const reason = error === undefined ? 'it closed the connection' : dialReasonOf(error)
    this.#log('stranger refused', { address: connection.remoteAddr.toString(), reason, connections: this.#untold })
    this.#untold = 0
    this.#toldAtMs = nowMs
  }
}
