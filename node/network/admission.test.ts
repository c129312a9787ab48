// Goal: nobody gets a word of the mesh before both sides have proved that they know its secret. Method: real libp2p on
// loopback; strangers are nodes of the same library that know more or less of the handshake.
import { once } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { afterEach, describe, expect, test } from 'vitest'
import { peerIdOf } from '../identity.ts'
import { multiaddrsOf } from './addresses.ts'
import { admissionProtocol } from './admission.ts'
import { newNonce, proofOf, provenSecret } from './admission-proof.ts'
import { encodeFrame } from './frame-decoder.ts'
import { FrameReader } from './frame-reader.ts'
import { createMeshNode } from './libp2p-node.ts'
import { keysInOrder, startIntruder, testPeers } from './test-peers.ts'
import { textOf, utf8 } from '#protocol/text'
import type { Connection, Ed25519PrivateKey } from '@libp2p/interface'
import type { PeerId } from '#protocol/ids'

const peers = testPeers()
const stops: (() => Promise<void> | void)[] = []
afterEach(async () => {
  await peers.stopAll()
  for (const stop of stops.splice(0)) await stop()
})

const [old, current, wrong] = ['o'.repeat(32), 'c'.repeat(32), 'w'.repeat(32)] as const
const seed = (address: string) => ({ type: 'seed', address }) as const

/** The peer at `address`, and what it logs of strangers. */
async function guarded(config: Parameters<typeof peers.start>[0] = {}) {
  const told: Readonly<Record<string, unknown>>[] = []
  const heard = Promise.withResolvers<void>()
  const peer = await peers.start({
    ...config,
    log: (event, fields) => {
      if (event !== 'stranger refused') return
      told.push(fields)
      heard.resolve()
    },
  })
  return { peer, told, heard: heard.promise }
}

describe('of two peers', () => {
  test.each([
    ['the same secret', [current], [current]],
    ['none', [], []],
    ['two secrets, and one that knows the new one', [old, current], [current]],
    ['two secrets, and one that knows the old one', [old, current], [old]],
    ['the same two in another order', [old, current], [current, old]],
  ])('that know %s, either may dial', async (_, ours, theirs) => {
    for (const isOurs of [true, false]) {
      const [secrets, others] = isOurs ? [ours, theirs] : [theirs, ours]
      const [oak, elm] = await Promise.all([peers.start({ secrets }), peers.start({ secrets: others })])
      oak.transport.dial(seed(elm.address))
      expect(await oak.listener.nth('linkUp')).toMatchObject({ peer: elm.peerId })
      expect(await elm.listener.nth('linkUp')).toMatchObject({ peer: oak.peerId })
    }
  })

  test.each([
    ['another secret', [wrong]],
    ['none', []],
  ])('one that knows %s is refused, whoever has the smaller id', async (_, secrets) => {
    for (const keys of [await keysInOrder(), (await keysInOrder()).toReversed()]) {
      const [oursKey, theirsKey] = keys as Awaited<ReturnType<typeof keysInOrder>>
      const { peer: oak, told, heard } = await guarded({ secrets: [old, current], privateKey: oursKey })
      const elm = await peers.start({ secrets, privateKey: theirsKey })
      elm.transport.dial(seed(oak.address))
      const reason = 'it does not know the secret of this cluster'
      expect(await elm.listener.nth('dialFailed')).toMatchObject({ reason })
      await heard
      expect(told).toMatchObject([{ reason, peer: elm.peerId, connections: 1 }])
      expect(oak.strangers()).toBe(1)
      expect([...oak.listener.heard, ...elm.listener.all('linkUp')]).toEqual([])
    }
  })

  test('one of another cluster is not told which one this is, where there is a secret', async () => {
    const { peer: oak, told, heard } = await guarded({ secrets: [current], cluster: 'garden' })
    const elm = await peers.start({ secrets: [current] })
    elm.transport.dial(seed(oak.address))
    const { reason } = await elm.listener.nth('dialFailed')
    expect(reason).toBe('that peer belongs to another cluster, not to orchard')
    await heard
    expect(told).toMatchObject([{ reason: 'it belongs to another cluster' }])
  })
})

/** A node that dials, and does what it likes. */
async function dialed(address: string, key?: Ed25519PrivateKey) {
  const privateKey = key ?? (await generateKeyPair('Ed25519'))
  const node = await createMeshNode({ privateKey, listen: '127.0.0.1:0', refuses: () => false })
  stops.push(() => node.stop())
  await node.start()
  return { connection: await node.dial(await multiaddrsOf(address)), self: peerIdOf(privateKey) }
}

async function talk(connection: Connection) {
  const stream = await connection.newStream(admissionProtocol)
  const reader = new FrameReader(stream, { frameBytesMax: 1_024, readAheadBytes: 4_096 })
  return {
    say: (message: unknown) => stream.send(encodeFrame([utf8(JSON.stringify(message))])),
    hear: async () => {
      const frame = await reader.next()
      return frame instanceof Uint8Array ? (JSON.parse(textOf(frame) ?? '') as Record<string, string>) : undefined
    },
  }
}

const closed = (connection: Connection) =>
  connection.status === 'open' ? once(connection as EventTarget, 'close') : Promise.resolve()

describe('a stranger', () => {
  const timing = { linkSetupMs: 300 }

  test('that opens the streams of a link without asking gets nothing on them, and is closed', async () => {
    const [smaller, larger] = await keysInOrder()
    const { peer: oak, told } = await guarded({ secrets: [current], privateKey: larger, timing })
    const { connection } = await dialed(oak.address, smaller)
    let bytes = 0
    for (const kind of ['control', 'data']) {
      const stream = await connection.newStream(`/grapevine/orchard/${kind}/1`)
      stream.addEventListener('message', ({ data }) => (bytes += data.byteLength))
      if (stream.status === 'open') await once(stream as EventTarget, 'close')
      expect(stream.status).toBe('reset')
    }
    await closed(connection)
    expect([bytes, oak.listener.heard]).toEqual([0, []])
    expect(told).toMatchObject([{ reason: 'it did not ask to be admitted' }])
  })

  test('that stops in the middle of the handshake is closed', async () => {
    const { peer: oak, told } = await guarded({ secrets: [current], timing })
    const { connection } = await dialed(oak.address)
    const { say, hear } = await talk(connection)
    say({ cluster: 'orchard', nonce: newNonce() })
    expect(await hear()).toMatchObject({ nonce: expect.any(String) as string })
    await closed(connection)
    expect(told).toHaveLength(1)
    expect(oak.listener.heard).toEqual([])
  })

  test.each([
    ['says something else', { hello: 'there' }],
    ['sends too much', { cluster: 'orchard', nonce: 'x'.repeat(5_000) }],
  ])('that %s is closed', async (_, message) => {
    const { peer: oak, heard } = await guarded({ secrets: [current] })
    const { connection } = await dialed(oak.address)
    const { say } = await talk(connection)
    say(message)
    await Promise.all([closed(connection), heard])
    expect(oak.listener.heard).toEqual([])
  })

  test('that says again what an admitted peer has said is refused', async () => {
    const { peer: oak, heard, told } = await guarded({ secrets: [current] })
    const key = await generateKeyPair('Ed25519')
    const { connection: first, self } = await dialed(oak.address, key)
    const askerNonce = newNonce()
    const admitted = await talk(first)
    admitted.say({ cluster: 'orchard', nonce: askerNonce })
    const { nonce: answererNonce = '' } = (await admitted.hear()) ?? {}
    const handshake = { cluster: 'orchard', asker: self, answerer: oak.peerId, askerNonce, answererNonce }
    const proofs = { proofs: [proofOf(current, 'asker', handshake)] }
    admitted.say(proofs)
    const { proof = '' } = (await admitted.hear()) ?? {}
    expect(provenSecret([proof], [current], 'answerer', handshake)).toBe(current)

    const { connection: second } = await dialed(oak.address, key)
    const replayed = await talk(second)
    replayed.say({ cluster: 'orchard', nonce: askerNonce })
    await replayed.hear()
    replayed.say(proofs)
    expect(await replayed.hear()).toEqual({ refused: 'secret' })
    await Promise.all([closed(second), heard])
    expect(told).toMatchObject([{ reason: 'it does not know the secret of this cluster' }])
  })

  test('is named once a minute for one reason, and counted each time', async () => {
    const { peer: oak, told } = await guarded({ secrets: [current] })
    for (let time = 0; time < 5; time++) {
      const privateKey = await generateKeyPair('Ed25519')
      const who = { privateKey, cluster: 'orchard', secrets: [wrong] }
      const { node, refusal } = await startIntruder(oak.address, who)
      expect(refusal).toBe('it does not know the secret of this cluster')
      while (oak.strangers() <= time) await setImmediate()
      await node.stop()
    }
    expect([told.length, oak.strangers()]).toEqual([1, 5])
  })
})

test('a proof is of one handshake, one role and one secret', () => {
  const handshake = {
    cluster: 'orchard',
    asker: 'oak' as PeerId,
    answerer: 'elm' as PeerId,
    askerNonce: newNonce(),
    answererNonce: newNonce(),
  }
  const proofs = [proofOf(current, 'asker', handshake)]
  const isProof = (changed: Partial<typeof handshake>, role: 'asker' | 'answerer' = 'asker', secret = current) =>
    provenSecret(proofs, [secret], role, { ...handshake, ...changed }) !== undefined
  expect(isProof({})).toBe(true)
  expect(isProof({}, 'answerer')).toBe(false)
  expect(isProof({}, 'asker', wrong)).toBe(false)
  for (const changed of [
    { cluster: 'garden' },
    { asker: 'ash' as PeerId },
    { answerer: 'ash' as PeerId },
    { askerNonce: newNonce() },
    { answererNonce: newNonce() },
  ])
    expect(isProof(changed)).toBe(false)
})
