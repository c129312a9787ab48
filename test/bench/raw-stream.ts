// What catching up is measured against: one libp2p stream between two processes, over the same TCP, TLS and yamux as a
// link, that carries bytes which nobody looks at.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Stream } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { DataWriter } from '#node/network/frame-writers'
import { createMeshNode, type MeshNode } from '#node/network/libp2p-node'
import { cpuMsOf } from './process-figures.ts'

const protocol = '/grapevine-bench/raw/1'
const pieceBytes = 256 * 1024

export interface RawStream {
  readonly bytes: number
  /** From the first byte to the last. */
  readonly tookMs: number
  /** Processor time of both ends, on top of starting them. */
  readonly cpuMs: number
}

export async function rawStream(bytes: number): Promise<RawStream> {
  const receiver = program('receive')
  const [address] = await firstLine(receiver)
  const atReceiver = await cpuMsOf(receiver.pid ?? 0)
  const sender = program('send', address, String(bytes))
  try {
    const [line] = await firstLine(sender)
    const [tookMs = 0, senderCpuMs = 0] = line.split(' ').map(Number)
    return { bytes, tookMs, cpuMs: senderCpuMs + (await cpuMsOf(receiver.pid ?? 0)) - atReceiver }
  } finally {
    receiver.kill()
    sender.kill()
  }
}

const firstLine = (child: ChildProcess): Promise<[string]> =>
  once(createInterface({ input: child.stdout as NodeJS.ReadableStream }), 'line') as Promise<[string]>

const program = (...args: readonly string[]): ChildProcess =>
  spawn(process.execPath, [fileURLToPath(import.meta.url), ...args], { stdio: ['ignore', 'pipe', 'inherit'] })

async function startNode(): Promise<MeshNode> {
  const privateKey = await generateKeyPair('Ed25519')
  const node = await createMeshNode({ privateKey, listen: '127.0.0.1:0', refuses: () => false })
  return node
}

/** Swallows what comes, and answers each piece with a byte. */
async function receive(): Promise<void> {
  const node = await startNode()
  await node.handle(protocol, (stream) => {
    let [received, answered] = [0, 0]
    stream.addEventListener('message', ({ data }) => {
      received += data.byteLength
      const whole = Math.floor(received / pieceBytes)
      if (whole > answered) stream.send(new Uint8Array(whole - answered))
      answered = whole
    })
  })
  await node.start()
  process.stdout.write(`${String(node.getMultiaddrs()[0])}\n`)
}

async function send(address: string, bytes: number): Promise<void> {
  const node = await startNode()
  await node.start()
  const stream = await node.dialProtocol(multiaddr(address), protocol)
  const count = Math.ceil(bytes / pieceBytes)
  const answered = answersOf(stream, count)
  const writer = new DataWriter(stream)
  // With the length that a frame begins with.
  const piece = new Uint8Array(pieceBytes - 4)
  const start = { atMs: performance.now(), cpu: process.cpuUsage() }
  for (let i = 0; i < count; i++) await new Promise<void>((written) => writer.send([piece], written))
  await answered
  const { user, system } = process.cpuUsage(start.cpu)
  process.stdout.write(`${performance.now() - start.atMs} ${(user + system) / 1_000}\n`)
}

function answersOf(stream: Stream, count: number): Promise<void> {
  let answers = 0
  return new Promise((resolve) => {
    stream.addEventListener('message', ({ data }) => {
      answers += data.byteLength
      if (answers === count) resolve()
    })
  })
}

if (import.meta.main) {
  const [role, address = '', bytes = ''] = process.argv.slice(2)
  await (role === 'receive' ? receive() : send(address, Number(bytes)))
}
