import { once } from 'node:events'
import { afterEach, describe, expect, test } from 'vitest'
import { keysInOrder, startWire, testPeers, startIntruder } from './test-peers.ts'
import { limits } from '#protocol/limits'
import type { Ed25519PrivateKey } from '@libp2p/interface'
import type { TestPeer } from './test-peers.ts'

// Goal: one link per pair of peers, whoever dials, and one word about its end. Method: real libp2p on loopback.

const peers = testPeers()
afterEach(() => peers.stopAll())

const seed = (address: string) => ({ type: 'seed', address }) as const

async function linked(): Promise<{ oak: TestPeer; elm: TestPeer }> {
  const [oak, elm] = await Promise.all([peers.start(), peers.start()])
  oak.transport.dial(seed(elm.address))
  await Promise.all([oak.listener.nth('linkUp'), elm.listener.nth('linkUp')])
  return { oak, elm }
}

const linkOf = (peer: TestPeer): number => peer.links()[0]?.link ?? -1

describe('a link', () => {
  test('comes up at both ends, with the id of the other, from an address alone', async () => {
    const { oak, elm } = await linked()
    expect(oak.links().map((link) => link.peer)).toEqual([elm.peerId])
    expect(elm.links().map((link) => link.peer)).toEqual([oak.peerId])
  })

  test('carries control frames in order, both ways', async () => {
    const { oak, elm } = await linked()
    const words = Array.from({ length: 200 }, (_, index) => `message ${index}`)
    for (const word of words) oak.say(linkOf(oak), word)
    elm.say(linkOf(elm), 'hello')
    await Promise.all([elm.listener.nth('control', words.length), oak.listener.nth('control')])
    expect(elm.listener.all('control').map((fact) => fact.text)).toEqual(words)
    expect(oak.listener.all('control').map((fact) => fact.text)).toEqual(['hello'])
  })

  test('carries the largest data frame in parts, and asks for the next one', async () => {
    const { oak, elm } = await linked()
    const half = limits.dataFrameBytesMax / 2
    await new Promise<void>((written) =>
      oak.transport.sendData(linkOf(oak), [new Uint8Array(half).fill(1), new Uint8Array(half).fill(2)], written),
    )
    const { frame } = await elm.listener.nth('data')
    expect(frame.byteLength).toBe(limits.dataFrameBytesMax)
    expect([frame[0], frame[half - 1], frame[half], frame.at(-1)]).toEqual([1, 1, 2, 2])
  })

  test('is settled on by two peers that dial each other at once', async () => {
    const [oak, elm] = await Promise.all([peers.start(), peers.start()])
    oak.transport.dial({ type: 'member', peer: elm.peerId, addresses: [elm.address] })
    elm.transport.dial({ type: 'member', peer: oak.peerId, addresses: [oak.address] })
    await Promise.all([oak.listener.nth('linkUp'), elm.listener.nth('linkUp')])
    // A word and its answer over the link show that both mean the same one, and that nothing has torn it down.
    oak.say(linkOf(oak), 'are you there')
    await elm.listener.nth('control')
    elm.say(linkOf(elm), 'yes')
    await oak.listener.nth('control')
    for (const peer of [oak, elm]) {
      expect(peer.listener.heard.map((fact) => fact.type)).toEqual(['linkUp', 'control'])
    }
  })

  test('is had by each of 12 peers that dial the same one at once', async () => {
    const oak = await peers.start()
    const others = await Promise.all(Array.from({ length: 12 }, () => peers.start()))
    for (const peer of others) peer.transport.dial(seed(oak.address))
    await Promise.all([oak.listener.nth('linkUp', 12), ...others.map((peer) => peer.listener.nth('linkUp'))])
    expect(new Set(oak.links().map((link) => link.peer))).toEqual(new Set(others.map((peer) => peer.peerId)))
    expect(oak.listener.all('linkDown')).toEqual([])
  })

  test('ends once at each side when one closes it, after what was said before', async () => {
    const { oak, elm } = await linked()
    const words = Array.from({ length: 50 }, (_, index) => `word ${index}`)
    for (const word of words) oak.say(linkOf(oak), word)
    oak.transport.close(linkOf(oak), 'enough')
    expect(oak.listener.all('linkDown')).toEqual([])
    const [atOak, atElm] = await Promise.all([oak.listener.nth('linkDown'), elm.listener.nth('linkDown')])
    expect(atOak).toMatchObject({ cause: 'closed', reason: 'enough' })
    expect(atElm).toMatchObject({ cause: 'closed' })
    expect(elm.listener.all('control').map((fact) => fact.text)).toEqual(words)
    expect(elm.listener.heard.at(-1)).toBe(atElm)
  })

  test('can be had again after it was closed', async () => {
    const { oak, elm } = await linked()
    oak.transport.close(linkOf(oak), 'enough')
    await Promise.all([oak.listener.nth('linkDown'), elm.listener.nth('linkDown')])
    elm.transport.dial({ type: 'member', peer: oak.peerId, addresses: [oak.address] })
    await Promise.all([oak.listener.nth('linkUp', 2), elm.listener.nth('linkUp', 2)])
    expect(oak.links()).toHaveLength(1)
  })

  test('that went down takes nothing and delivers nothing any more', async () => {
    const { oak, elm } = await linked()
    const old = linkOf(oak)
    oak.transport.close(old, 'enough')
    oak.say(old, 'too late')
    oak.transport.sendData(old, [Uint8Array.of(1)], () => expect.unreachable('written after the end'))
    await elm.listener.nth('linkDown')
    expect(elm.listener.all('control')).toEqual([])
  })

  test('ends at the others when a peer stops, which itself hears nothing', async () => {
    const { oak, elm } = await linked()
    oak.say(linkOf(oak), 'I leave')
    await oak.stop()
    expect(await elm.listener.nth('linkDown')).toMatchObject({ cause: 'closed' })
    expect(elm.listener.all('control').map((fact) => fact.text)).toEqual(['I leave'])
    expect(oak.listener.all('linkDown')).toEqual([])
  })
})

describe('when the other process dies, its sockets tell', () => {
  test.each(['end', 'reset'] as const)('by a TCP %s', async (how) => {
    const [oak, elm] = await Promise.all([peers.start(), peers.start()])
    const wire = await startWire(elm.address)
    oak.transport.dial(seed(wire.address))
    await Promise.all([oak.listener.nth('linkUp'), elm.listener.nth('linkUp')])
    wire[how]()
    const downs = await Promise.all([oak.listener.nth('linkDown'), elm.listener.nth('linkDown')])
    expect(downs.map((down) => down.cause)).toEqual(['closed', 'closed'])
    wire.stop()
  })
})

describe('a link whose other side does not read', () => {
  test('goes down when its control backlog is full, and says why', async () => {
    const [oak, elm] = await Promise.all([peers.start(), peers.start()])
    const wire = await startWire(elm.address)
    oak.transport.dial(seed(wire.address))
    await oak.listener.nth('linkUp')
    wire.swallow()
    const chatter = 'x'.repeat(limits.controlFrameBytesMax)
    const until = 64
    for (let sent = 0; sent < until && oak.listener.all('linkDown').length === 0; sent++) {
      oak.say(linkOf(oak), chatter)
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(await oak.listener.nth('linkDown')).toMatchObject({
      cause: 'broken',
      reason: 'over 1048576 bytes wait: the other side does not read',
    })
    wire.stop()
  })
})

describe('a dial fails with a reason', () => {
  test('when nobody listens', async () => {
    const [oak, elm] = await Promise.all([peers.start(), peers.start()])
    await elm.stop()
    oak.transport.dial(seed(elm.address))
    expect(await oak.listener.nth('dialFailed')).toMatchObject({
      target: seed(elm.address),
      reason: `connect ECONNREFUSED ${elm.address}`,
      there: undefined,
    })
  })

  test('when we are at the other end ourselves', async () => {
    const oak = await peers.start()
    oak.transport.dial(seed(oak.address))
    expect(await oak.listener.nth('dialFailed')).toMatchObject({ reason: 'that is ourselves', there: oak.peerId })
  })

  test('when another peer answers than the member that was meant', async () => {
    const [oak, elm, ash] = await Promise.all([peers.start(), peers.start(), peers.start()])
    oak.transport.dial({ type: 'member', peer: elm.peerId, addresses: [ash.address] })
    expect(await oak.listener.nth('dialFailed')).toMatchObject({ reason: 'a different peer answers there' })
  })

  test('when the name does not resolve', async () => {
    const oak = await peers.start()
    oak.transport.dial(seed('nowhere.invalid:7400'))
    const { reason } = await oak.listener.nth('dialFailed')
    expect(reason).toMatch(/^nowhere\.invalid has no address \(E/)
  })

  test('when there is a link to the peer behind the address already', async () => {
    const { oak, elm } = await linked()
    oak.transport.dial(seed(elm.address))
    const { reason, there } = await oak.listener.nth('dialFailed')
    expect({ reason, there }).toEqual({ reason: `there is a link to ${elm.peerId} already`, there: elm.peerId })
    expect(oak.links()).toHaveLength(1)
  })

  test.each(['smaller', 'larger'] as const)('when the peer is of another cluster: the %s id dials', async (dialer) => {
    const [smaller, larger] = await keysInOrder()
    const ours = await peers.start({ privateKey: dialer === 'smaller' ? smaller : larger, cluster: 'orchard' })
    const theirs = await peers.start({ privateKey: dialer === 'smaller' ? larger : smaller, cluster: 'garden' })
    ours.transport.dial(seed(theirs.address))
    expect(await ours.listener.nth('dialFailed')).toMatchObject({
      reason: 'that peer belongs to cluster garden, not to orchard',
    })
    expect([...ours.listener.all('linkUp'), ...theirs.listener.all('linkUp')]).toEqual([])
  })
})

test('a connection that carries no link is closed after a while, the link stays', async () => {
  const timing = { linkSetupMs: 200 }
  const [oak, elm] = await Promise.all([peers.start({ timing }), peers.start({ timing })])
  const wire = await startWire(elm.address)
  oak.transport.dial(seed(elm.address))
  await oak.listener.nth('linkUp')
  oak.transport.dial(seed(wire.address))
  await wire.closed
  oak.say(linkOf(oak), 'still here')
  expect(await elm.listener.nth('control')).toMatchObject({ text: 'still here' })
  expect([...oak.listener.all('linkDown'), ...elm.listener.all('linkDown')]).toEqual([])
  wire.stop()
})

test('a name with several addresses is dialed until one answers', async () => {
  // localhost is 127.0.0.1 and, where there is IPv6, ::1, where nobody listens.
  const [oak, elm] = await Promise.all([peers.start(), peers.start()])
  oak.transport.dial(seed(elm.address.replace('127.0.0.1', 'localhost')))
  expect(await oak.listener.nth('linkUp')).toMatchObject({ peer: elm.peerId })
})

test('a taken port is named', async () => {
  const oak = await peers.start()
  await expect(peers.start({ listen: oak.address })).rejects.toMatchObject({
    code: 'PORT_IN_USE',
    message: `${oak.address} is in use`,
  })
})

test('an idle link outlives the inactivity limit of its socket, thanks to the pings of yamux', async () => {
  const pinging = { timing: { socketIdleMs: 1_500, keepAliveMs: 100 } }
  const mute = { keepAliveMs: 60_000 }
  const [oak, elm] = await Promise.all([peers.start(pinging), peers.start(pinging)])
  const ash = await peers.start({ timing: { ...mute, socketIdleMs: 1_500 } })
  const fir = await peers.start({ timing: mute })
  oak.transport.dial(seed(elm.address))
  await Promise.all([oak.listener.nth('linkUp'), elm.listener.nth('linkUp')])
  ash.transport.dial(seed(fir.address))
  // The link without pings, which is younger, dies of its silence; the other one is still there and works.
  expect(await ash.listener.nth('linkDown')).toMatchObject({ cause: 'broken' })
  oak.transport.sendData(linkOf(oak), [Uint8Array.of(7)], () => undefined)
  expect((await elm.listener.nth('data')).frame).toEqual(Uint8Array.of(7))
  expect(oak.listener.all('linkDown')).toEqual([])
})

describe('a peer that breaks the protocol', () => {
  async function intruderAt(oakKey: Ed25519PrivateKey, privateKey: Ed25519PrivateKey) {
    const oak = await peers.start({ privateKey: oakKey })
    const { node: intruder, connection } = await startIntruder(oak.address, { privateKey, cluster: 'orchard' })
    const open = (kind: string) => connection.newStream(`/grapevine/orchard/${kind}/1`)
    return { oak, intruder, connection, open }
  }

  test('with a frame beyond the limit loses its link, and is told apart from one that dies', async () => {
    const [smaller, larger] = await keysInOrder()
    const { oak, intruder, open } = await intruderAt(larger, smaller)
    const [control] = await Promise.all([open('control'), open('data')])
    await oak.listener.nth('linkUp')
    control.send(Uint8Array.of(255, 255, 255, 255))
    expect(await oak.listener.nth('linkDown')).toMatchObject({
      cause: 'broken',
      reason: 'a frame of 4294967295 bytes was announced; 1 to 262144 are taken',
    })
    await intruder.stop()
  })

  test('by opening more streams than a peer may loses its link, with a word', async () => {
    const [smaller, larger] = await keysInOrder()
    const { oak, intruder, connection, open } = await intruderAt(larger, smaller)
    await Promise.all([open('control'), open('data')])
    await oak.listener.nth('linkUp')
    const { muxer } = connection as unknown as {
      muxer: { maxOutboundStreams: number; createStream(): Promise<unknown> }
    }
    muxer.maxOutboundStreams = Number.POSITIVE_INFINITY
    for (let i = 0; i < 10_000; i++) await muxer.createStream().catch(() => undefined)
    expect(await oak.listener.nth('linkDown')).toMatchObject({
      cause: 'broken',
      reason: 'it opened more than 8 streams at once',
    })
    await intruder.stop()
  })

  test('by opening streams although its id is the larger one gets none', async () => {
    const [smaller, larger] = await keysInOrder()
    const { oak, intruder, open } = await intruderAt(smaller, larger)
    const control = await open('control')
    if (control.status === 'open') await once(control as EventTarget, 'close')
    expect(control.status).toBe('reset')
    expect(oak.listener.all('linkUp')).toEqual([])
    await intruder.stop()
  })
})
