import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type ClientOptions, WebSocket } from 'ws'
import { pause } from '#client/backoff'
import { socketPath, socketProtocol } from '#protocol/wire/socket-frames'
import { type Figure, millis, perSecond, quantile } from './figures.ts'
import { benchMesh } from './mesh.ts'
import { memoryOf } from './process-figures.ts'

const never = new AbortController().signal
const valueBytes = 128
const openingAtATime = 50

interface BareServer extends Disposable {
  readonly url: string
  readonly pid: number
}

async function bareServer(): Promise<BareServer> {
  const child = spawn(process.execPath, [fileURLToPath(new URL('bare-sockets.ts', import.meta.url))], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [url] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
  return { url, pid: child.pid ?? 0, [Symbol.dispose]: () => void child.kill() }
}

async function openSockets(url: string, count: number, onOpen: (socket: WebSocket) => void): Promise<WebSocket[]> {
  const sockets: WebSocket[] = []
  while (sockets.length < count) {
    const some = Array.from({ length: Math.min(openingAtATime, count - sockets.length) }, () => {
      return new WebSocket(url, url.endsWith(socketPath) ? socketProtocol : [], options(sockets.length))
    })
    await Promise.all(some.map((socket) => once(socket, 'open')))
    some.forEach(onOpen)
    sockets.push(...some)
  }
  return sockets
}

/** From several addresses, since one may have half of a peer's connections. */
const options = (opened: number): ClientOptions => ({
  perMessageDeflate: false,
  localAddress: `127.0.0.${1 + (Math.floor(opened / 1_000) % 8)}`,
})

/** Records that say when they were published, one at a time, to subscribers in this process; how late each came, and how many a second. */
class Deliveries {
  readonly lateMs: number[] = []
  #wanted = 0
  #done = Promise.withResolvers<void>()

  /** Only what it is part of is looked for: parsing JSON a thousand times would be measured, too. */
  hear(data: string): void {
    const at = /at=([\d.]+)=/.exec(data)?.[1]
    if (at === undefined) return
    this.lateMs.push(performance.now() - Number(at))
    if (this.lateMs.length === this.#wanted) this.#done.resolve()
  }

  async run(subscribers: number, runMs: number, publish: (value: string) => Promise<unknown>): Promise<Figure> {
    const startMs = performance.now()
    let published = 0
    while (performance.now() - startMs < runMs) {
      await publish(`at=${performance.now()}=`.padEnd(valueBytes, '.'))
      published++
      this.#wanted = published * subscribers
      this.#done = Promise.withResolvers()
      // The next one when all have this one: what is measured is fan-out, not a queue.
      if (this.lateMs.length < this.#wanted) await this.#done.promise
    }
    const p50 = millis(quantile(this.lateMs, 0.5))
    const value = `${perSecond(this.lateMs.length, performance.now() - startMs)}, p50 ${p50}, p99 ${millis(quantile(this.lateMs, 0.99))}`
    return { what: '', value }
  }
}

/** Records of 128 B, one after the other, to so many WebSockets that subscribe to one topic at one peer. */
export async function fanOut(subscribers: number, runMs: number): Promise<readonly Figure[]> {
  using bare = await bareServer()
  await using mesh = await benchMesh()
  const [oak] = mesh.peers
  const toAll = new Deliveries()
  const subscribe = { type: 'subscribe', sub: 'a', topics: ['fan-out'], from: 'latest', credit: 1_000_000 }
  await oak.client.publish('fan-out', 'first')
  let caughtUp = 0
  const sockets = await openSockets(oak.http.replace('http', 'ws') + socketPath, subscribers, (socket) => {
    socket.on('message', (data: Buffer) => {
      const text = data.toString()
      if (text.includes('"caught-up"')) caughtUp++
      toAll.hear(text)
    })
    socket.send(JSON.stringify(subscribe))
  })
  while (caughtUp < subscribers) await pause(20, never)
  const ours = await toAll.run(subscribers, runMs, (value) => oak.client.publish('fan-out', value))
  for (const socket of sockets) socket.terminate()

  const toBare = new Deliveries()
  const [publisher] = await openSockets(bare.url, 1, () => undefined)
  const others = await openSockets(bare.url, subscribers, (socket) => {
    socket.on('message', (data: Buffer) => toBare.hear(data.toString()))
  })
  const theirs = await toBare.run(subscribers, runMs, (value) => Promise.resolve(publisher?.send(value)))
  for (const socket of [...others, publisher]) socket?.terminate()
  const what = `one record at a time to ${subscribers.toLocaleString('en')} WebSocket subscribers, JSON: delivered`
  return [{ what, value: ours.value, against: `ws alone, nothing stored: ${theirs.value}` }]
}

/** What a WebSocket costs that is open, and nothing else: what has been subscribed to is bounded by the live reads of a peer. */
export async function idleSockets(count: number): Promise<readonly Figure[]> {
  using bare = await bareServer()
  await using mesh = await benchMesh()
  const [oak] = mesh.peers
  const each = async (pid: number, url: string): Promise<string> => {
    const before = (await memoryOf(pid)).now
    const sockets = await openSockets(url, count, () => undefined)
    await pause(3_000, never)
    const after = (await memoryOf(pid)).now
    for (const socket of sockets) socket.terminate()
    return `${((after - before) / count / 1_024).toFixed(1)} KiB each`
  }
  const ours = await each(oak.pid, oak.http.replace('http', 'ws') + socketPath)
  const theirs = await each(bare.pid, bare.url)
  const what = `${count.toLocaleString('en')} idle WebSockets: resident memory`
  return [{ what, value: ours, against: `ws alone: ${theirs}` }]
}
