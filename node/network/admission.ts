import type { Connection, Stream } from '@libp2p/interface'
import { z } from 'zod'
import type { PeerId } from '#protocol/ids'
import { textOf, utf8 } from '#protocol/text'
import { admissionMessages, newNonce, proofOf, provenSecret } from './admission-proof.ts'
import { dialReasonOf } from './dial-reason.ts'
import { encodeFrame } from './frame-decoder.ts'
import { FrameReader } from './frame-reader.ts'
import { closeBothWays, closeConnection, peerOf } from './link.ts'
import type { MeshNode } from './libp2p-node.ts'
import { networkLimits } from './network-limits.ts'
import type { Strangers } from './strangers.ts'

/** Without the cluster: peers of another one are to be told so. */
export const admissionProtocol = '/grapevine/admission/1'

export interface AdmissionConfig {
  readonly self: PeerId
  readonly cluster: string
  /** Of the cluster: whoever knows one of them is admitted. None: whoever knows none. */
  readonly secrets: readonly string[]
  /** What a handshake may take. */
  readonly timeoutMs: number
}

export interface AdmissionDeps {
  readonly node: MeshNode
  readonly strangers: Strangers
  /** Cut off by hand: it is not answered. */
  readonly refuses: (peer: PeerId) => boolean
}

/** Why a peer is not admitted, in words for a person. */
type Refusal = string

interface Verdict {
  readonly reached: Promise<Refusal | undefined>
  readonly reach: (refusal: Refusal | undefined) => void
  state: 'open' | 'admitted' | 'refused'
}

const { hello, challenge, proofs, proof, refused } = admissionMessages

/**
 * Who may talk to this peer (DESIGN §14): before anything else is said on a connection, both sides prove that they know
 * the secret of the cluster (`admission-proof.ts`). Whoever dialed asks, and proves it first: a stranger learns nothing of us but a
 * nonce.
 *
 * 1. A connection has one verdict. Until there is one, streams of other protocols wait; if it is bad, the connection is closed.
 * 2. Who is admitted may ask again, and answers: that it is alive.
 */
export class Admission {
  readonly #config: AdmissionConfig
  readonly #deps: AdmissionDeps
  readonly #secrets: readonly string[]
  readonly #verdicts = new WeakMap<Connection, Verdict>()

  constructor(config: AdmissionConfig, deps: AdmissionDeps) {
    this.#config = config
    this.#deps = deps
    this.#secrets = config.secrets.length === 0 ? [''] : config.secrets
  }

  /** To be called before the node starts. */
  async start(): Promise<void> {
    await this.#deps.node.handle(admissionProtocol, (stream, connection) => void this.#answer(stream, connection), {
      maxInboundStreams: networkLimits.admissionsPerConnectionMax,
      maxOutboundStreams: networkLimits.admissionsPerConnectionMax,
    })
  }

  /** A connection is there: whoever dialed asks. */
  opened(connection: Connection): void {
    if (connection.direction === 'outbound') void this.ask(connection, this.#config.timeoutMs)
  }

  /** Why the other side is not admitted; undefined once it is. */
  verdict(connection: Connection): Promise<Refusal | undefined> {
    return this.#verdictOf(connection).reached
  }

  isAdmitted(connection: Connection): boolean {
    return this.#verdictOf(connection).state === 'admitted'
  }

  /** The other side has taken its time: it did not even ask, or does not answer. */
  overdue(connection: Connection): void {
    const isInbound = connection.direction === 'inbound'
    this.#refuse(
      connection,
      isInbound ? 'it did not ask to be admitted' : 'no answer in time',
      isInbound && { isSure: false },
    )
  }

  /** Asks, and proves, over a connection, new or not; tells why that failed. Never rejects. */
  async ask(connection: Connection, timeoutMs: number): Promise<Refusal | undefined> {
    try {
      const signal = AbortSignal.timeout(timeoutMs)
      const stream = await connection.newStream(admissionProtocol, { signal })
      await during(stream, signal, () => this.#ask(new Exchange(stream), connection))
      return undefined
    } catch (error) {
      return this.#failed(connection, error)
    }
  }

  async #ask(exchange: Exchange, connection: Connection): Promise<void> {
    const { self: asker, cluster } = this.#config
    const answerer = peerOf(connection)
    const askerNonce = newNonce()
    exchange.say({ cluster, nonce: askerNonce })
    const answer = await exchange.hear(z.union([challenge, refused]))
    if ('refused' in answer) throw new Refused(this.#reasonOf(answer))
    const handshake = { cluster, asker, answerer, askerNonce, answererNonce: answer.nonce }
    exchange.say({ proofs: this.#secrets.map((secret) => proofOf(secret, 'asker', handshake)) })
    const last = await exchange.hear(z.union([proof, refused]))
    if ('refused' in last) throw new Refused(this.#reasonOf(last))
    if (provenSecret([last.proof], this.#secrets, 'answerer', handshake) === undefined) throw new Refused(otherSecret)
    this.#admit(connection)
  }

  async #answer(stream: Stream, connection: Connection): Promise<void> {
    if (this.#deps.refuses(peerOf(connection))) return stream.abort(new Error('no stream was expected'))
    const signal = AbortSignal.timeout(this.#config.timeoutMs)
    try {
      await during(stream, signal, () => this.#check(new Exchange(stream), connection))
    } catch (error) {
      this.#failed(
        connection,
        signal.aborted ? new Refused('it did not finish asking to be admitted', { isSure: false }) : error,
      )
    }
  }

  async #check(exchange: Exchange, connection: Connection): Promise<void> {
    const { self: answerer, cluster } = this.#config
    const asked = await exchange.hear(hello)
    if (asked.cluster !== cluster) {
      // Whoever has no secret to prove may be anybody.
      exchange.say({ refused: 'cluster', ...(this.#config.secrets.length === 0 && { cluster }) })
      throw new Refused('it belongs to another cluster')
    }
    const answererNonce = newNonce()
    exchange.say({ nonce: answererNonce })
    const handshake = { cluster, asker: peerOf(connection), answerer, askerNonce: asked.nonce, answererNonce }
    const secret = provenSecret((await exchange.hear(proofs)).proofs, this.#secrets, 'asker', handshake)
    if (secret === undefined) {
      exchange.say({ refused: 'secret' })
      throw new Refused(otherSecret)
    }
    exchange.say({ proof: proofOf(secret, 'answerer', handshake) })
    this.#admit(connection)
  }

  #reasonOf({ refused: what, cluster }: z.infer<typeof refused>): Refusal {
    if (what === 'secret') return otherSecret
    return `that peer belongs to ${cluster === undefined ? 'another cluster' : `cluster ${cluster}`}, not to ${this.#config.cluster}`
  }

  #admit(connection: Connection): void {
    const verdict = this.#verdictOf(connection)
    if (verdict.state !== 'open') return
    verdict.state = 'admitted'
    verdict.reach(undefined)
  }

  /** What is admitted stays admitted; whether it still answers is for others to judge. */
  #failed(connection: Connection, error: unknown): Refusal {
    const reason = error instanceof Refused ? error.message : refusalOf(error)
    const isStranger = connection.direction === 'inbound' && error instanceof Refused
    this.#refuse(connection, reason, isStranger && error)
    return reason
  }

  /** A stranger is named and counted; a member whose connection breaks is none. */
  #refuse(connection: Connection, reason: Refusal, stranger: false | Pick<Refused, 'isSure'>): void {
    const verdict = this.#verdictOf(connection)
    if (verdict.state !== 'open') return
    verdict.state = 'refused'
    if (stranger !== false) {
      this.#deps.strangers.refused({ peer: peerOf(connection), connection, reason, isSure: stranger.isSure })
    }
    verdict.reach(reason)
    void closeConnection(connection)
  }

  #verdictOf(connection: Connection): Verdict {
    const known = this.#verdicts.get(connection)
    if (known !== undefined) return known
    const { promise: reached, resolve: reach } = Promise.withResolvers<Refusal | undefined>()
    const verdict: Verdict = { reached, reach, state: 'open' }
    this.#verdicts.set(connection, verdict)
    const closed = (): void => reach('the connection closed before its streams were open')
    if (connection.status === 'open') connection.addEventListener('close', closed)
    else closed()
    return verdict
  }
}

const otherSecret = 'it does not know the secret of this cluster'

class Refused extends Error {
  /** A member under load may be as slow. */
  readonly isSure: boolean

  constructor(reason: Refusal, { isSure = true } = {}) {
    super(reason)
    this.isSure = isSure
  }
}

function refusalOf(error: unknown): Refusal {
  const isUnknown = error instanceof Error && error.name === 'UnsupportedProtocolError'
  return isUnknown ? 'that is not a Grapevine peer of this version' : dialReasonOf(error)
}

/** Aborts the stream if it takes too long; closes it after that, so that the last word gets through. */
async function during(stream: Stream, signal: AbortSignal, talk: () => Promise<void>): Promise<void> {
  const onAbort = (): void => stream.abort(signal.reason as Error)
  signal.addEventListener('abort', onAbort)
  try {
    await talk()
  } finally {
    signal.removeEventListener('abort', onAbort)
    await closeBothWays(stream, AbortSignal.timeout(networkLimits.closeMs)).catch(() => undefined)
  }
}

/** One handshake: small JSON frames, one after the other. */
class Exchange {
  readonly #stream: Stream
  readonly #reader: FrameReader

  constructor(stream: Stream) {
    this.#stream = stream
    const most = networkLimits.admissionFrameBytesMax
    this.#reader = new FrameReader(stream, { frameBytesMax: most, readAheadBytes: 2 * most })
  }

  say(message: object): void {
    if (this.#stream.status === 'open') this.#stream.send(encodeFrame([utf8(JSON.stringify(message))]))
  }

  async hear<T>(schema: z.ZodType<T>): Promise<T> {
    const frame = await this.#reader.next()
    if (!(frame instanceof Uint8Array))
      throw frame.cause === 'closed' ? new Error(frame.reason) : new Refused(frame.reason, { isSure: false })
    const parsed = schema.safeParse(jsonOf(frame))
    if (!parsed.success) throw new Refused('it speaks another protocol')
    return parsed.data
  }
}

function jsonOf(frame: Uint8Array): unknown {
  try {
    return JSON.parse(textOf(frame) ?? '')
  } catch {
    return undefined
  }
}
