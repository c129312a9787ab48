import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { type ProcessPeer, eventually } from '../process-peer.ts'

/** One row of the table: what a peer is given that it cannot take, and the name that it gives it. */
export interface BadInput {
  readonly input: string
  /** In the answer, on stderr, or in the log where there is nobody to answer. */
  readonly named: RegExp
  /** Resolves with what was said. */
  give(oak: ProcessPeer, mesh: { readonly elm: ProcessPeer; readonly directory: string }): Promise<string>
}

/** `CODE status: detail` of an answer with a problem; the status and the body of any other. */
export async function ask(oak: ProcessPeer, path: string, init: RequestInit = {}): Promise<string> {
  return saidBy(await fetch(`${oak.http}${path}`, init))
}

export async function saidBy(answer: Response): Promise<string> {
  const body = await answer.text()
  if (!answer.headers.get('content-type')?.includes('problem+json')) return `${answer.status} ${body}`
  const { code, detail } = JSON.parse(body) as { code: string; detail: string }
  return `${code} ${answer.status}: ${detail}`
}

export const post = (body: string | Uint8Array<ArrayBuffer>, contentType = 'text/plain'): RequestInit => ({
  method: 'POST',
  body,
  headers: { 'content-type': contentType },
})

export async function connectTo(address: string): Promise<Socket> {
  const { hostname, port } = new URL(address.includes('://') ? address : `tcp://${address}`)
  const socket = connect({ host: hostname, port: Number(port) })
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  return socket
}

/** What comes back for these bytes until the other side closes, or has said a whole problem. */
export async function exchange(oak: ProcessPeer, bytes: string): Promise<string> {
  const socket = await connectTo(oak.http)
  let text = ''
  const answered = new Promise<void>((resolve) => {
    socket.on('close', () => resolve())
    socket.on('data', (data) => {
      text += data.toString()
      if (text.trimEnd().endsWith('}')) resolve()
    })
  })
  socket.write(bytes)
  await answered
  socket.destroy()
  const status = /^HTTP\/1.1 (\d+)/.exec(text)?.[1] ?? 'closed'
  const { code, detail } = JSON.parse(text.slice(text.indexOf('{'))) as { code: string; detail: string }
  return `${code} ${status}: ${detail}`
}

/** The first line of a peer's log, from now on, that has these words: its message, and what it says of the reason. */
export async function logged(peer: ProcessPeer, words: RegExp, doing: () => Promise<void> | void): Promise<string> {
  const seen = new Set(peer.log.split('\n'))
  await doing()
  let found: string | undefined
  await eventually(`the log says ${words}`, () => {
    found = peer.log.split('\n').find((line) => !seen.has(line) && words.test(line))
    return Promise.resolve(found !== undefined)
  })
  const { event, reason, what } = JSON.parse(found ?? '{}') as Record<string, string>
  return [event, what, reason].filter((word) => word !== undefined).join(': ')
}
