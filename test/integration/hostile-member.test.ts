// Goal: a member that knows the secret and means harm costs a peer no more than its bounds: the peer goes on serving, keeps its other links,
// and tells what happened. Method: two real peers with a publisher, and a libp2p node of ours that was admitted and says what it likes. What is
// wrong with single frames is `bad-input.test.ts`; what a member may make others believe is `protocol/membership/hostile.test.ts`.
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Connection, Stream } from '@libp2p/interface'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { peerIdOf } from '#node/identity'
import { multiaddrsOf } from '#node/network/addresses'
import { encodeFrame } from '#node/network/frame-decoder'
import { FrameReader } from '#node/network/frame-reader'
import { expectMembers, type MeshNode } from '#node/network/libp2p-node'
import { connectionsMaxFor, networkLimits } from '#node/network/network-limits'
import { startIntruder } from '#node/network/test-peers'
import type { PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import type { MemberUpdate } from '#protocol/membership/messages'
import { utf8 } from '#protocol/text'
import type { MeshEvent } from '#protocol/views'
import { type ControlMessage, decodeControl, encodeControl } from '#protocol/wire/control-frame'
import { PrometheusText } from '#test/prometheus-text'
import { eventually, ProcessPeer, sees, startMesh } from './process-peer.ts'

const MiB = 1024 * 1024
/**
 * What the resident set may be above that of before. Buffers of a link are some 10 MiB at both ends of a stream, 8,192 members some tens; the
 * rest is garbage that V8 has not collected, and pages that it has not given back. A million entries that are held would be far above.
 */
const grownBytesMax = 320 * MiB
const secret = 's'.repeat(64)
/** What a client gets done while somebody attacks: progress, whatever the machine is busy with. */
const publishesMin = 20

let directory = ''
let peers: ProcessPeer[] = []
const oak = (): ProcessPeer => peers[0] as ProcessPeer
const elm = (): ProcessPeer => peers[1] as ProcessPeer
const table: Record<string, object> = {}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'grapevine-hostile-'))
  await writeFile(join(directory, 'secret'), secret)
  peers = await startMesh(directory, ['oak', 'elm'], () => ({ flags: ['--secret-file', join(directory, 'secret')] }))
  for (let i = 0; i < 200; i++) await publish('n:2')
})

afterAll(async () => {
  console.table(table)
  for (const peer of peers) await peer[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

async function publish(ack: string): Promise<void> {
  const { reached } = await oak().client.publish('orders', 'pears', { ack })
  expect(reached).toBe(true)
}

const figures = async (): Promise<PrometheusText> =>
  new PrometheusText(await (await fetch(`${oak().http}/metrics`)).text())

/** Of this kind, since the start. */
async function badFrames(kind: string): Promise<number> {
  const name = 'grapevine_node_bad_frames_total'
  const said = await figures()
  return said.labelValues(name, 'kind').includes(kind) ? said.sum(name, { kind }) : 0
}

async function eventsOf(peer: ProcessPeer): Promise<readonly MeshEvent[]> {
  const all: MeshEvent[] = []
  let page = await peer.client.events({ from: 'earliest' })
  while (page.events.length > 0) {
    all.push(...page.events)
    page = await peer.client.events({ ...(page.last !== undefined && { after: page.last }) })
  }
  return all
}

/** Among the events of oak is one of this type with these words. */
async function told(type: string, words: RegExp): Promise<void> {
  await eventually(`it tells of ${type}: ${words}`, async () => {
    return (await eventsOf(oak())).some((event) => event.type === type && words.test(event.text))
  })
}

/** Attacks while a client publishes, until that has got somewhere; then memory is to be back, and the link to elm the one that it was. */
async function endured(
  what: string,
  attack: (isEnough: () => boolean) => Promise<void>,
  { ack = 'n:2', keepsLinks = true }: { readonly ack?: string; readonly keepsLinks?: boolean } = {},
): Promise<void> {
  const resident = async (): Promise<number> => (await figures()).sum('process_resident_memory_bytes')
  const before = await resident()
  const linkedMs = await linkOfElm()
  let [publishes, isOver] = [0, false]
  const publishing = async (): Promise<void> => {
    for (; !isOver; publishes++) await publish(ack)
  }
  const attacking = attack(() => publishes >= publishesMin).finally(() => (isOver = true))
  await Promise.all([publishing(), attacking])
  expect(publishes).toBeGreaterThanOrEqual(publishesMin)
  await eventually('it believes in its member', () => sees(oak(), ['elm'], 'alive'))
  if (keepsLinks) expect(await linkOfElm()).toBeGreaterThan(linkedMs)
  let after = 0
  await eventually('its memory is within the bound', async () => {
    await publish(ack)
    after = await resident()
    return after < before + grownBytesMax
  })
  table[what] = { publishes, 'MiB before': Math.round(before / MiB), after: Math.round(after / MiB) }
}

/** How long ago it came up. */
async function linkOfElm(): Promise<number> {
  const links = await oak().client.links()
  return links.find(({ peer }) => peer === elm().peerId)?.sinceMs ?? -1
}

/** It has a link to oak. What oak says is read, and forgotten. */
class Hostile implements AsyncDisposable {
  readonly id: PeerId
  readonly connection: Connection
  readonly #node: MeshNode
  readonly #streams: Readonly<Record<'control' | 'data', Stream>>
  readonly #acks = new Map<number, () => void>()
  readonly #ended: Promise<unknown>

  private constructor(id: PeerId, node: MeshNode, connection: Connection, [control, data]: [Stream, Stream]) {
    this.id = id
    this.#node = node
    this.connection = connection
    this.#streams = { control, data }
    this.#ended = once(connection as EventTarget, 'close')
    void this.#listen(new FrameReader(control, { frameBytesMax: limits.controlFrameBytesMax, readAheadBytes: MiB }))
  }

  static async admitted(): Promise<Hostile> {
    let privateKey = await generateKeyPair('Ed25519')
    // The smaller id opens the streams.
    while (peerIdOf(privateKey) > oak().peerId) privateKey = await generateKeyPair('Ed25519')
    const who = { privateKey, cluster: 'grapevine', secrets: [secret] }
    const { node, connection, refusal } = await startIntruder(oak().listen, who)
    expect(refusal).toBeUndefined()
    const open = (kind: string): Promise<Stream> => connection.newStream(`/grapevine/grapevine/${kind}/1`)
    return new Hostile(peerIdOf(privateKey), node, connection, await Promise.all([open('control'), open('data')]))
  }

  get node(): MeshNode {
    return this.#node
  }

  get isLinked(): boolean {
    return this.connection.status === 'open'
  }

  /** Until the stream takes more, or the link has ended. */
  async say(kind: 'control' | 'data', ...frames: readonly Uint8Array[]): Promise<void> {
    const stream = this.#streams[kind]
    // It is closing, and so is the link.
    if (stream.writeStatus !== 'writable') return void (await this.#ended)
    const takesMore = stream.send(Buffer.concat(frames.map((frame) => encodeFrame([frame]))))
    if (!takesMore) await Promise.race([once(stream as EventTarget, 'drain'), this.#ended])
  }

  tell(...messages: readonly ControlMessage[]): Promise<void> {
    return this.say('control', ...messages.map(encodeControl))
  }

  /** All that was said before it has been read by then, and the link lives. */
  async pinged(ref: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#acks.set(ref, resolve)
    await this.tell({ type: 'ping', ref, updates: [] })
    await Promise.race([promise, this.#ended.then(() => Promise.reject(new Error('the link has ended')))])
  }

  async #listen(reader: FrameReader): Promise<void> {
    for (;;) {
      const frame = await reader.next()
      if (!(frame instanceof Uint8Array)) return
      const message = decodeControl(frame)
      if (message.type === 'ack') this.#acks.get(message.ref)?.()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#node.stop()
  }
}

const gossip = (...updates: MemberUpdate[]): ControlMessage => ({ type: 'gossip', updates })

test.each([
  ['control', limits.controlFrameBytesMax + 1, /a frame of 262145 bytes was announced; 1 to 262144 are taken/],
  ['data', limits.dataFrameBytesMax + 1, /a frame of 1052673 bytes was announced; 1 to 1052672 are taken/],
] as const)('%s frames beyond the limit cost the link, each time it comes back', async (kind, bytes, words) => {
  await endured(`${kind} frames beyond the limit`, async (isEnough) => {
    while (!isEnough()) {
      await using fir = await Hostile.admitted()
      while (fir.isLinked) await fir.say(kind, new Uint8Array(bytes)).catch(() => undefined)
    }
  })
  await told('link-closed', words)
})

test('malformed frames cost the link, each time it comes back, and are counted', async () => {
  const before = await badFrames('badField')
  let sent = 0
  await endured('malformed frames', async (isEnough) => {
    for (; !isEnough() || sent === 0; sent++) {
      await using fir = await Hostile.admitted()
      await fir.say('control', utf8('{"type":"gossip","updates":[{"peer":7}]}'))
      if (fir.isLinked) await once(fir.connection as EventTarget, 'close')
    }
  })
  expect(await badFrames('badField')).toBe(before + sent)
  await told('bad-frame', /badField/)
})

test('frames of a newer version are skipped by their length on both streams, however many, and told once', async () => {
  const before = await badFrames('unknownType')
  const large = utf8(JSON.stringify({ type: 'future', more: 'x'.repeat(200_000) }))
  let sent = 0
  await endured('frames of a newer version', async (isEnough) => {
    await using fir = await Hostile.admitted()
    while (!isEnough() || sent < 20_000) {
      await fir.say('control', ...Array.from({ length: 500 }, (_, i) => utf8(`{"type":"future${i}"}`)))
      await fir.say('control', large)
      await fir.say('data', new Uint8Array(limits.dataFrameBytesMax).fill(2))
      sent += 502
    }
    await fir.pinged(1)
    await eventually('all are counted', async () => (await badFrames('unknownType')) === before + sent)
    expect(fir.isLinked).toBe(true)
  })
  const events = await eventsOf(oak())
  expect(events.filter(({ type, text }) => type === 'bad-frame' && text.includes('future'))).toHaveLength(1)
})

test('forged suspicions, of ever later incarnations, kill nobody; absurd ones are refused and counted', async () => {
  const rejected = async () => (await figures()).sum('grapevine_membership_rejected_updates_total')
  const before = await rejected()
  let messages = 0
  await endured('forged suspicions', async (isEnough) => {
    await using fir = await Hostile.admitted()
    const accused = [oak().peerId, elm().peerId] as PeerId[]
    const forged = (incarnation: number): MemberUpdate[] =>
      accused.map((peer) => ({
        peer,
        state: 'suspect',
        incarnation,
        by: fir.id,
        reason: 'forged',
        confirmedBy: accused,
      }))
    for (; !isEnough() || messages < 20_000; messages++) {
      await fir.tell(gossip(...forged(1 + (messages % 100)), ...forged(Number.MAX_SAFE_INTEGER)))
    }
    await fir.pinged(1)
  })
  expect(await rejected()).toBe(before + 2 * messages)
  await eventually('all are alive everywhere', async () => {
    return (await sees(oak(), ['oak', 'elm'], 'alive')) && (await sees(elm(), ['oak', 'elm'], 'alive'))
  })
  await told('suspected', /elm suspected by .*: forged/)
  for (const peer of peers) {
    const dead = (await eventsOf(peer)).filter(({ type }) => type === 'dead')
    expect(dead.filter(({ name }) => name === 'oak' || name === 'elm')).toEqual([])
  }
})

test('10,000 streams on one connection end it', async () => {
  await endured('10,000 streams', async (isEnough) => {
    do {
      await using fir = await Hostile.admitted()
      const { muxer } = fir.connection as unknown as { muxer: Muxer }
      muxer.maxOutboundStreams = Number.POSITIVE_INFINITY
      for (let i = 0; i < 10_000; i++) await muxer.createStream().catch(() => undefined)
      if (fir.isLinked) await once(fir.connection as EventTarget, 'close')
    } while (!isEnough())
  })
  await told('link-closed', /it opened more than 8 streams at once/)
})

type Muxer = { maxOutboundStreams: number; createStream(): Promise<unknown> }

test('1,000 connections are taken up to the bound; the rest are turned away and counted, and who comes later joins', async () => {
  const fds = async () => (await figures()).sum('process_open_fds')
  const strangers = async () => (await figures()).sum('grapevine_node_strangers_total')
  const [fdsBefore, strangersBefore] = [await fds(), await strangers()]
  // Oak, elm and two more; and those that are still shaking hands.
  const most = connectionsMaxFor(4) + networkLimits.pendingConnectionsMax
  const count = 1_000
  await endured('1,000 connections', async (isEnough) => {
    await using fir = await Hostile.admitted()
    expectMembers(fir.node, limits.linksMax)
    const address = await multiaddrsOf(oak().listen)
    for (let i = 0; i < 50; i++) await fir.node.dial(address, { force: true }).catch(() => undefined)
    const sockets = Array.from({ length: count - 50 }, () => socketTo(oak().listen))
    // Not all: the kernel keeps some from oak, whose queue is full, and does not tell them.
    let fdsMost = 0
    await eventually('hundreds are turned away, and the publisher goes on meanwhile', async () => {
      fdsMost = Math.max(fdsMost, await fds())
      return isEnough() && (await strangers()) >= strangersBefore + 200
    })
    expect(fdsMost).toBeLessThanOrEqual(fdsBefore + most + 20)
    for (const socket of sockets) socket.destroy()
  })
  await told('stranger-refused', /there are as many connections as are taken/)
  const flags = ['--secret-file', join(directory, 'secret')]
  await using ash = await ProcessPeer.start({ name: 'ash', data: join(directory, 'ash'), join: [oak().listen], flags })
  await eventually('it joins', () => sees(ash, ['oak', 'elm', 'ash'], 'alive'))
  await ash.end('SIGTERM')
})

function socketTo(address: string): Socket {
  const [host = '', port] = address.split(':')
  return connect({ host, port: Number(port) })
    .on('error', () => undefined)
    .resume()
}

// The last one: what it says is believed, up to the bound of a registry, for members are trusted.
test('a member table of a million entries is taken up to the bound of the registry', async () => {
  const entries = 1_000_000
  const page = limits.membersPerMessageMax
  const rejected = async () => (await figures()).sum('grapevine_membership_rejected_updates_total')
  const before = await rejected()
  const entry = (i: number, by: PeerId): MemberUpdate => {
    const facts = { name: `p${i}`, addresses: ['127.0.0.1:1'], http: '', zone: '', counter: 1 }
    return { peer: `p${i}` as PeerId, state: 'alive', incarnation: 1, by, reason: 'forged', facts }
  }
  const attack = async (): Promise<void> => {
    await using fir = await Hostile.admitted()
    for (let from = 0; from < entries; from += page) {
      const members = Array.from({ length: page }, (_, i) => entry(from + i, fir.id))
      await fir.tell({ type: 'pushPull', members, standing: 'merged', reply: true, more: from + page < entries })
    }
    await fir.pinged(1)
  }
  // Copies are due at homes that do not exist, and of so many members few are linked.
  await endured('a table of a million', attack, { ack: 'local', keepsLinks: false })
  expect(await rejected()).toBeGreaterThan(before + entries - limits.membersMax)
  expect((await oak().client.members()).length).toBeLessThanOrEqual(limits.membersMax)
})

test('the peers have not made a mistake', () => {
  for (const peer of peers) expect(peer.log).not.toMatch(/"level":"error"/)
})
