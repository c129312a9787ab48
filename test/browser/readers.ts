import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import type { Browser } from 'playwright-core'
import type { RecordJson } from '#client/record'
import { type ClientFrame, type PeerFrame, socketPath, socketProtocol } from '#protocol/wire/socket-frames'
import type { ProcessPeer } from '#test/integration/process-peer'

/** Someone who follows a topic at one peer, in one of the ways there are, until it is disposed of. */
export interface Reader extends AsyncDisposable {
  readonly name: string
  /** All that it was told so far. */
  readonly records: RecordJson[]
  /** After the last of them. */
  cursor: string
}

export interface ReadFrom {
  readonly at: ProcessPeer
  readonly topic: string
  /** `earliest` unless said otherwise. */
  readonly cursor?: string
}

/** `curl` and server-sent events; a cursor goes as `Last-Event-ID`, as a browser would say it. */
export function readWithCurl({ at, topic, cursor }: ReadFrom): Reader {
  const from = cursor === undefined ? [] : ['--header', `last-event-id: ${cursor}`]
  const args = ['--header', 'accept: text/event-stream', ...from, `${recordsUrl(at, topic)}?from=earliest`]
  const end = curl({ args, separator: '\n\n' }, (event) => {
    const fields = new Map(event.split('\n').map((line) => splitAt(line, ': ')))
    const data = fields.get('data')
    if (fields.has('event') || data === undefined) return
    reader.records.push(JSON.parse(data) as RecordJson)
    reader.cursor = fields.get('id') ?? ''
  })
  const reader: Reader = { name: `curl at ${at.name}`, records: [], cursor: '', [Symbol.asyncDispose]: end }
  return reader
}

/** `curl` and lines of JSON. A record counts when a cursor covers it: what came after the last one is told again. */
export function readLinesWithCurl({ at, topic, cursor = 'earliest' }: ReadFrom): Reader {
  const uncovered: RecordJson[] = []
  const args = ['--header', 'accept: application/x-ndjson', `${recordsUrl(at, topic)}?from=${cursor}&follow=true`]
  const end = curl({ args, separator: '\n' }, (line) => {
    const told = JSON.parse(line) as RecordJson | { readonly event: string; readonly cursor?: string }
    if (!('event' in told)) return void uncovered.push(told)
    if (told.cursor === undefined) return
    reader.records.push(...uncovered.splice(0))
    reader.cursor = told.cursor
  })
  const reader: Reader = { name: `curl for lines at ${at.name}`, records: [], cursor: '', [Symbol.asyncDispose]: end }
  return reader
}

export interface BrowserReader extends Reader {
  /** How often it was connected. */
  opened: number
}

/** Called from inside the page. */
declare function tell(type: 'open' | 'record', data: string, cursor: string): void

/** `EventSource` in a page that the peer itself serves, so that both are of one origin. It comes back by itself. */
export async function readInBrowser(browser: Browser, { at, topic }: ReadFrom): Promise<BrowserReader> {
  const page = await browser.newPage()
  const reader: BrowserReader = {
    name: `EventSource at ${at.name}`,
    records: [],
    cursor: '',
    opened: 0,
    [Symbol.asyncDispose]: () => page.close(),
  }
  await page.exposeFunction('tell', (...[type, data, cursor]: Parameters<typeof tell>) => {
    if (type === 'open') return void reader.opened++
    reader.records.push(JSON.parse(data) as RecordJson)
    reader.cursor = cursor
  })
  await page.goto(`${at.http}/version`)
  await page.evaluate(
    (url) => {
      const source = new EventSource(url)
      source.onopen = () => tell('open', '', '')
      source.onmessage = ({ data, lastEventId }) => tell('record', String(data), lastEventId)
    },
    `${recordsUrl(at, topic)}?from=earliest`,
  )
  return reader
}

/** How many records are under way to a raw WebSocket at most: few, so that it lives on credit. */
const credit = 8

/** A WebSocket with nothing but the frames of `grapevine.v1.json`. */
export function readFromSocket({ at, topic, cursor = 'earliest' }: ReadFrom): Reader {
  const socket = new WebSocket(at.http.replace('http', 'ws') + socketPath, socketProtocol)
  const say = (frame: ClientFrame): void => socket.send(JSON.stringify(frame))
  const end = async (): Promise<void> => {
    const closed = once(socket, 'close')
    socket.close()
    if (socket.readyState !== WebSocket.CLOSED) await closed
  }
  const reader: Reader = { name: `WebSocket at ${at.name}`, records: [], cursor: '', [Symbol.asyncDispose]: end }
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(String(data)) as PeerFrame<RecordJson>
    if (frame.type === 'welcome') say({ type: 'subscribe', sub: 'all', topics: [topic], from: cursor, credit })
    if (frame.type !== 'record') return
    reader.records.push(frame.record)
    reader.cursor = frame.cursor
    say({ type: 'credit', sub: 'all', n: 1 })
  }
  return reader
}

/** The client library. */
export function readWithLibrary({ at, topic, cursor = 'earliest' }: ReadFrom): Reader {
  const stop = new AbortController()
  const reader: Reader = {
    name: `library at ${at.name}`,
    records: [],
    cursor: '',
    [Symbol.asyncDispose]: async () => {
      stop.abort()
      await ended
    },
  }
  const follow = async (): Promise<void> => {
    for await (const record of at.client.subscribe(topic, { from: cursor, signal: stop.signal })) {
      const { cursor: after, ...json } = record.toJSON()
      reader.records.push(json)
      reader.cursor = after
    }
  }
  const ended = follow().catch((error: unknown) => {
    if (!stop.signal.aborted) throw error
  })
  return reader
}

const recordsUrl = (at: ProcessPeer, topic: string): string => `${at.http}/v1/topics/${topic}/records`

/** Starts it; what is returned ends it, and resolves when all that it had said was taken. */
function curl(
  { args, separator }: { readonly args: readonly string[]; readonly separator: string },
  onPart: (part: string) => void,
): () => Promise<void> {
  const child = spawn('curl', ['--no-buffer', '--silent', '--show-error', '--noproxy', '*', ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const taken = take(child.stdout, separator, onPart)
  return () => {
    child.kill('SIGKILL')
    return taken
  }
}

/** Not by `readline`: it takes U+2028 for the end of a line, which JSON does not escape. */
async function take(output: Readable, separator: string, onPart: (part: string) => void): Promise<void> {
  let rest = ''
  for await (const text of output.setEncoding('utf8') as AsyncIterable<string>) {
    const parts = (rest + text).split(separator)
    rest = parts.pop() ?? ''
    for (const part of parts) onPart(part)
  }
}

function splitAt(line: string, separator: string): [string, string] {
  const at = line.indexOf(separator)
  return at === -1 ? [line, ''] : [line.slice(0, at), line.slice(at + separator.length)]
}
