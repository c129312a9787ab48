import { connect, type Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { errorCatalogue } from '#protocol/errors'
import { recordsOf } from '#protocol/log/batch'
import { binarySocketProtocol, decodeBatchFrame } from '#protocol/wire/binary-frame'
import { closeCodes, socketProtocol } from '#protocol/wire/socket-frames'
import { Dice } from '#test/sim/dice'
import { concat } from './bytes.ts'
import type { FuzzOrder, FuzzReport } from './finding.ts'
import { civilFrame, encode, opcodes, wildFrame } from './socket-frames.ts'
import { type PeerUnderFire, underFire } from './under-fire.ts'

const clients = 16
/** Frames that one socket sends at most. */
const framesPerSocket = 20
/** Sockets between two good requests that must be served. */
const serveEvery = 100
/** A peer that has nothing to answer is not waited for any longer, and its end of a socket that was closed no longer than that. */
const patienceMs = { word: 100, end: 60_000 }

/** Of RFC 6455 §7.4.1, and those that a client closes with: they are echoed. */
const codesOfOthers = [1000, 1001, 1002, 1003, 1005, 1007, 1008, 1009, 3000, 4999]
const codesAllowed: ReadonlySet<number> = new Set([...codesOfOthers, ...Object.values(closeCodes)])

/** WebSockets of a real peer: every word of it is a frame of ours, every refusal is named, every close has a fitting code. */
export const fuzzSockets = ({ seed, count, seconds }: FuzzOrder): Promise<FuzzReport> =>
  underFire({ target: 'sockets', seconds }, (under) => {
    const fuzz = new SocketFuzz(seed, under)
    return under.endure(() => fuzz.run(count))
  })

class SocketFuzz {
  readonly #seed: number
  readonly #under: PeerUnderFire
  #next = 0
  #opened = 0

  constructor(seed: number, under: PeerUnderFire) {
    this.#seed = seed
    this.#under = under
  }

  /** Returns how many there were. */
  async run(count: number): Promise<number> {
    await this.#under.peer.client.publishMany('fuzz-1', [{ value: 'pears' }])
    await Promise.all(Array.from({ length: clients }, () => this.#client(count)))
    return this.#next
  }

  async #client(count: number): Promise<void> {
    while (this.#next < count && !this.#under.hasEnough) {
      await this.#session(count)
      if (this.#opened++ % serveEvery === 0) await this.#under.serve()
    }
  }

  /** Some civil frames and their answers, and then a wild one. */
  async #session(count: number): Promise<void> {
    const { hostname, port } = new URL(this.#under.peer.http)
    const socket = connect({ host: hostname, port: Number(port) })
    const heard = new Heard(socket)
    const first = this.#next
    const session = new Dice(this.#seed, `session at ${first}`)
    const length = session.whole(1, framesPerSocket)
    const isBinary = session.chance(0.5)
    socket.write(handshakeFor(isBinary ? binarySocketProtocol : socketProtocol))
    this.#next += Math.min(length, count - first)
    const last = this.#next - 1
    for (let index = first; index <= last; index++) {
      const dice = new Dice(this.#seed, `frame ${index}`)
      if (index === last) await heard.word()
      const { kind, bytes } = index === last ? wildFrame(dice, isBinary) : civilFrame(dice, isBinary)
      this.#under.tally.add(`sent ${kind}`)
      socket.write(bytes)
      if (index % 4 === 0) await turn()
    }
    socket.end(encode(new Dice(this.#seed, 'farewell'), { opcode: opcodes.close, payload: Uint8Array.of(3, 232) }))
    if (!(await heard.end())) this.#under.found(last, 'a socket stays open though its client has gone')
    socket.destroy()
    const lastWord = wildFrame(new Dice(this.#seed, `frame ${last}`), isBinary).bytes
    for (const fault of heard.faults(this.#under)) this.#under.found(last, fault, lastWord)
  }
}

const handshakeFor = (protocol: string): string =>
  [
    'GET /v1/ws HTTP/1.1',
    'host: localhost',
    'connection: upgrade',
    'upgrade: websocket',
    'sec-websocket-version: 13',
    'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==',
    `sec-websocket-protocol: ${protocol}`,
    '\r\n',
  ].join('\r\n')

/** What a peer says on one socket. */
class Heard {
  readonly #pieces: Uint8Array[] = []
  readonly #closed = Promise.withResolvers<void>()
  #next = Promise.withResolvers<void>()

  constructor(socket: Socket) {
    socket.on('error', () => undefined)
    socket.on('data', (data: Uint8Array) => {
      this.#pieces.push(data)
      this.#next.resolve()
      this.#next = Promise.withResolvers()
    })
    socket.on('close', () => this.#closed.resolve())
  }

  /** Resolves when the peer says something, or has nothing to say. */
  async word(): Promise<void> {
    await within(patienceMs.word, Promise.race([this.#next.promise, this.#closed.promise]))
  }

  end(): Promise<boolean> {
    return within(patienceMs.end, this.#closed.promise)
  }

  /** Everything that is not as agreed. */
  *faults(under: PeerUnderFire): Generator<string> {
    const bytes = Buffer.from(concat(...this.#pieces))
    const start = bytes.indexOf('\r\n\r\n') + 4
    let fragment: Buffer | undefined
    if (bytes.length > 0 && !bytes.toString('latin1', 0, 12).startsWith('HTTP/1.1 101'))
      yield `no upgrade: ${bytes.toString('latin1', 0, 300)}`
    for (let at = start; start > 3 && at + 2 <= bytes.length;) {
      const form = bytes.readUInt8(at + 1)
      const headBytes = form < 126 ? 2 : form === 126 ? 4 : 10
      if (form > 127) return yield `a masked frame, or none: ${bytes.toString('hex', at, at + 20)}`
      if (at + headBytes > bytes.length) return
      const length =
        form < 126 ? form : form === 126 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2))
      const payload = bytes.subarray(at + headBytes, at + headBytes + length)
      // What comes after our end of the socket is not whole.
      if (payload.length < length) return
      const first = bytes.readUInt8(at)
      at += headBytes + length
      // Batches come in two fragments.
      if (first === opcodes.binary) fragment = payload
      else if (first === 0x80 && fragment !== undefined) {
        yield* faultsOfBatch(concat(fragment, payload), under)
        fragment = undefined
      } else yield* faultsOf(first & 15, payload, under)
    }
  }
}

function* faultsOf(opcode: number, payload: Buffer, under: PeerUnderFire): Generator<string> {
  if (opcode === 8) {
    const code = payload.length < 2 ? 1005 : payload.readUInt16BE(0)
    under.tally.add(`closed with ${code} ${payload.toString('utf8', 2)}`)
    // A client may close with what libraries have registered, and hears it again.
    if (!codesAllowed.has(code) && (code < 3_000 || code > 3_999))
      yield `closed with ${code} ${payload.toString('utf8', 2)}`
  } else if (opcode === 1) yield* faultsOfText(payload.toString(), under)
  else if (opcode !== 9 && opcode !== 10) yield `a frame of opcode ${opcode}`
}

function* faultsOfBatch(message: Uint8Array, under: PeerUnderFire): Generator<string> {
  const batch = decodeBatchFrame(message)
  under.tally.add('heard a batch')
  if (!('bytes' in batch)) yield `no batch (${batch.fault} ${batch.where}): ${Buffer.from(message).toString('latin1')}`
  else if (typeof recordsOf(batch.bytes, batch.header) === 'string') yield 'a batch whose records cannot be read'
}

function* faultsOfText(text: string, under: PeerUnderFire): Generator<string> {
  const frame = JSON.parse(text) as { type: string; problem?: { code: string } }
  under.tally.add(frame.problem === undefined ? `heard ${frame.type}` : `heard ${frame.problem.code}`)
  if (!['welcome', 'subscribed', 'record', 'event', 'published', 'error', 'bye'].includes(frame.type))
    yield `said ${text}`
  if (frame.type !== 'error') return
  const code = frame.problem?.code ?? ''
  if (!(code in errorCatalogue) || code === 'INTERNAL') yield `not named: ${text}`
}

async function within(ms: number, event: Promise<void>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>((resolve) => (timer = setTimeout(() => resolve(false), ms)))
  const isInTime = await Promise.race([event.then(() => true), late])
  clearTimeout(timer)
  return isInTime
}
