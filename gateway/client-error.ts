import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { MeshError } from '#protocol/errors'
import { invalid, problemFields, type Problems } from './problem.ts'

/** What Node's parser says of bytes that never became a request. */
export interface ClientError extends Error {
  readonly code?: string
  readonly rawPacket?: Uint8Array
}

/** Answers what never became a request. A socket that has had an answer might be in the middle of another: it is just closed. */
export function answerClientError(problems: Problems, error: ClientError, socket: Socket): void {
  const bytesMax = lingering.get(socket)
  // More of the same: it had its answer.
  if (bytesMax !== undefined && socket.bytesRead <= bytesMax) return
  if (!socket.writable || socket.bytesWritten > 0) return void socket.destroy()
  answerSocket(problems, faultOf(error), socket)
}

/** The last word on a socket that no answer belongs to. */
export function answerSocket(problems: Problems, fault: MeshError, socket: Socket): void {
  const problem = problems.of(fault)
  const body = `${JSON.stringify(problem)}\n`
  // Node has let go of it, and a client that resets it would otherwise end the process.
  socket.on('error', () => socket.destroy())
  const head = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
    ...Object.entries(problemFields(problem)).map(([name, value]) => `${name}: ${value}`),
    `content-length: ${Buffer.byteLength(body)}`,
  ]
  socket.end(`${[...head, 'connection: close'].join('\r\n')}\r\n\r\n${body}`)
  linger(socket)
}

const lingerMs = 2_000
const lingerBytesMax = 4 * 1024 * 1024

/** Sockets that had their last word, with the bytes read at which they are closed whatever their client still sends. */
const lingering = new WeakMap<Socket, number>()

/**
 * Takes and drops what the client is still sending until it closes: a socket closed with bytes unread is reset, and the
 * reset overtakes the answer (RFC 9112 §9.6).
 */
function linger(socket: Socket): void {
  lingering.set(socket, socket.bytesRead + lingerBytesMax)
  const deadline = setTimeout(() => socket.destroy(), lingerMs)
  socket.once('close', () => clearTimeout(deadline))
  socket.resume()
}

/** What Node would refuse without a word: a request without a host, or with an expectation that nobody meets. */
export function headFault({ httpVersion, headers }: IncomingMessage): MeshError | undefined {
  if (headers.host === undefined && httpVersion === '1.1') return invalid('host', 'is missing (RFC 9112 §3.2)')
  if (/^(100-continue)?$/i.test(headers.expect ?? '')) return undefined
  return invalid('expect', 'must be 100-continue (RFC 9110 §10.1.1)')
}

export function answerFault(problems: Problems, fault: MeshError, outgoing: ServerResponse): void {
  const problem = problems.of(fault)
  const body = `${JSON.stringify(problem)}\n`
  const fields = { ...problemFields(problem), 'content-length': Buffer.byteLength(body), connection: 'close' }
  outgoing.writeHead(problem.status, fields).end(body)
}

export const malformed = (reason: string): MeshError =>
  new MeshError('BAD_REQUEST', `The HTTP request is malformed: ${reason}.`)

/** First byte of a TLS record with a handshake (RFC 8446 §5.1). */
const tlsHandshake = 0x16

function faultOf({ code, message, rawPacket }: ClientError): MeshError {
  if (code === 'HPE_HEADER_OVERFLOW') return new MeshError('HEAD_TOO_LARGE')
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new MeshError('REQUEST_TIMEOUT')
  if (code === 'HPE_PAUSED_H2_UPGRADE') return malformed('this is HTTP/2, and HTTP/1.1 is spoken here')
  return malformed(rawPacket?.[0] === tlsHandshake ? 'this is TLS, and plain HTTP is spoken here' : message)
}
