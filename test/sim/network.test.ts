// The simulated network on its own: a log of what two listeners see, under dials, cuts, resets, crashes and pauses.
import { describe, expect, test } from 'vitest'
import { utf8 } from '#protocol/text'
import type { DialTarget, TransportListener } from '#node/driver-ports'
import type { PeerId } from '#protocol/ids'
import { Dice } from './dice.ts'
import { Life } from './life.ts'
import { addressOf, SimNetwork } from './network.ts'
import { Scheduler } from './scheduler.ts'
import type { Host } from './host.ts'

const oak = 'oak' as PeerId
const elm = 'elm' as PeerId
const toElm: DialTarget = { type: 'member', peer: elm, addresses: [addressOf(elm)] }
const toOak: DialTarget = { type: 'seed', address: addressOf(oak) }

interface Peer {
  readonly host: Host
  readonly life: Life
  readonly seen: string[]
  link: number
}

function world(seed = 1) {
  const scheduler = new Scheduler()
  const network = new SimNetwork(
    [oak, elm],
    new Dice(seed, 'network'),
    {
      latencyMsMin: 1,
      latencyMsMax: 20,
      bytesPerMs: 100_000,
      slowPaths: 0,
      dialFaults: 0,
      dialRepeats: 0,
      dialTimeoutMs: 3_000,
      tcpTimeoutMs: 15_000,
    },
    { scheduler },
  )
  const boot = (id: PeerId): Peer => {
    const life = new Life(scheduler)
    const peer: Peer = { host: network.attach(id, life), life, seen: [], link: 0 }
    peer.host.listen(listenerOf(peer))
    return peer
  }
  const linked = async (): Promise<{ oak: Peer; elm: Peer }> => {
    const peers = { oak: boot(oak), elm: boot(elm) }
    peers.oak.host.dial(toElm)
    await scheduler.runUntil(scheduler.nowMs + 500)
    return peers
  }
  return { scheduler, network, boot, linked }
}

function listenerOf(peer: Peer): TransportListener {
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
  return {
    linkUp: (link, other) => {
      peer.link = link
      peer.seen.push(`up ${other}`)
    },
    linkDown: (_, cause, reason) => void peer.seen.push(`down ${cause}: ${reason}`),
    controlFrame: (_, frame) => void peer.seen.push(text(frame)),
    dataFrame: (_, frame) => void peer.seen.push(`${frame.length} B`),
    dialFailed: (_, reason) => void peer.seen.push(`dial failed: ${reason}`),
  }
}

const say = (peer: Peer, ...words: string[]): void => {
  for (const word of words) peer.host.sendControl(peer.link, utf8(word))
}

test('two peers that dial each other at once have one link', async () => {
  const { scheduler, boot } = world()
  const peers = [boot(oak), boot(elm)] as const
  peers[0].host.dial(toElm)
  peers[1].host.dial(toOak)
  await scheduler.runUntil(10_000)
  expect(peers.map((peer) => peer.seen)).toEqual([['up elm'], ['up oak']])
})

test('frames of one stream arrive in order, whatever their delays', async () => {
  const { scheduler, linked } = world()
  const peers = await linked()
  const words = Array.from({ length: 50 }, (_, i) => `word ${i}`)
  say(peers.oak, ...words)
  await scheduler.runUntil(2_000)
  expect(peers.elm.seen).toEqual(['up oak', ...words])
})

test('a process that exits is heard of after what it said last', async () => {
  const { scheduler, network, linked } = world()
  const peers = await linked()
  say(peers.oak, 'farewell')
  peers.oak.life.end()
  network.stop(peers.oak.host, 'exit')
  await scheduler.runUntil(2_000)
  expect(peers.elm.seen).toEqual(['up oak', 'farewell', 'down closed: closed by the other side'])
})

describe('a cut path', () => {
  test('is silence, and what was said meanwhile arrives after the heal', async () => {
    const { scheduler, network, linked } = world()
    const peers = await linked()
    network.path(oak, elm).cut('partition')
    say(peers.oak, 'can you hear me')
    say(peers.elm, 'I can speak')
    await scheduler.runUntil(10_000)
    expect(peers.elm.seen).toEqual(['up oak'])
    expect(peers.oak.seen).toEqual(['up elm', 'I can speak'])
    network.path(oak, elm).heal('partition')
    await scheduler.runUntil(12_000)
    expect(peers.elm.seen).toEqual(['up oak', 'can you hear me'])
  })

  test('breaks a connection only when TCP gives up, and only for the side that spoke', async () => {
    const { scheduler, network, linked } = world()
    const peers = await linked()
    for (const path of [network.path(oak, elm), network.path(elm, oak)]) path.cut('partition')
    say(peers.oak, 'can you hear me')
    await scheduler.runUntil(30_000)
    expect(peers.oak.seen).toEqual(['up elm', 'down broken: timed out'])
    expect(peers.elm.seen).toEqual(['up oak'])
  })

  test('lets dials time out, where a machine without a process refuses them', async () => {
    const { scheduler, network, boot } = world()
    const oakPeer = boot(oak)
    oakPeer.host.dial(toElm)
    await scheduler.runUntil(1_000)
    network.path(elm, oak).cut('partition')
    oakPeer.host.dial(toElm)
    await scheduler.runUntil(10_000)
    expect(oakPeer.seen).toEqual(['dial failed: connection refused', 'dial failed: timed out'])
  })
})

test('a machine that lost power is silent until it is back; then what is sent on the old link is reset', async () => {
  const { scheduler, network, boot, linked } = world()
  const peers = await linked()
  peers.elm.life.end()
  network.stop(peers.elm.host, 'powerCut')
  say(peers.oak, 'are you there')
  await scheduler.runUntil(5_000)
  expect(peers.oak.seen).toEqual(['up elm'])
  const reborn = boot(elm)
  await scheduler.runUntil(8_000)
  expect(peers.oak.seen).toEqual(['up elm', 'down broken: reset by the other side'])
  expect(reborn.seen).toEqual([])
})

test('a paused process reads nothing: its sender may write a window, then waits', async () => {
  const { scheduler, linked } = world()
  const peers = await linked()
  let written = 0
  const sendOn = (): void => {
    peers.oak.host.sendData(peers.oak.link, [new Uint8Array(100_000)], () => {
      written++
      sendOn()
    })
  }
  peers.elm.life.pause(1_000)
  sendOn()
  await scheduler.runUntil(1_400)
  expect(written).toBe(2)
  expect(peers.elm.seen).toEqual(['up oak'])
  await scheduler.runUntil(1_600)
  expect(written).toBeGreaterThan(4)
  expect(peers.elm.seen.slice(0, 3)).toEqual(['up oak', '100000 B', '100000 B'])
})
