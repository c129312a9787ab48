import { once } from 'node:events'
import { connect } from 'node:net'
import { multiaddr } from '@multiformats/multiaddr'
import { afterEach, expect, test, vi } from 'vitest'
import { SeededRandom } from '#protocol/random'
import { networkLimits } from './network-limits.ts'
import { Strangers } from './strangers.ts'
import { testPeers } from './test-peers.ts'
import type { PeerId } from '#protocol/ids'
import type { Connection, MultiaddrConnection } from '@libp2p/interface'

// Goal: whoever speaks something else on the peer port is told of, and harms nobody. Method: raw TCP.

const peers = testPeers()
afterEach(() => {
  vi.useRealTimers()
  return peers.stopAll()
})

const dice = new SeededRandom(7)
const randomBytes = Uint8Array.from({ length: 4_096 }, () => Math.floor(dice.next() * 256))

const curl = Buffer.from(
  'GET /v1/topics HTTP/1.1\r\nHost: 127.0.0.1:7400\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n',
)
const half = Buffer.from('\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n')

test.each([
  ['random bytes', randomBytes, 'it speaks another protocol'],
  ['HTTP', curl, 'it speaks another protocol'],
  ['half a handshake and then zeros', Buffer.concat([half, new Uint8Array(64)]), 'its TLS is damaged'],
  ['nothing', undefined, 'it closed the connection'],
])('a stranger that says %s is refused with a word in the log', async (_, bytes, reason) => {
  const told: { event: string; fields: Readonly<Record<string, unknown>> }[] = []
  const heard = Promise.withResolvers<void>()
  const oak = await peers.start({
    log: (event, fields) => {
      told.push({ event, fields })
      if (event === 'stranger refused') heard.resolve()
    },
  })
  // A peer that comes and goes is no stranger.
  const elm = await peers.start()
  elm.transport.dial({ type: 'seed', address: oak.address })
  await oak.listener.nth('linkUp')
  await elm.stop()
  await oak.listener.nth('linkDown')

  const [host = '', port] = oak.address.split(':')
  const socket = connect({ host, port: Number(port) })
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  if (bytes === undefined) socket.end()
  else socket.write(bytes)
  await heard.promise
  expect(told.filter(({ event }) => event === 'stranger refused')).toEqual([
    {
      event: 'stranger refused',
      fields: {
        address: `/ip4/127.0.0.1/tcp/${socket.localPort}`,
        connections: 1,
        reason,
      },
    },
  ])
  const ash = await peers.start()
  ash.transport.dial({ type: 'seed', address: oak.address })
  await Promise.all([oak.listener.nth('linkUp', 2), ash.listener.nth('linkUp')])
})

test('more connections than are taken are closed and told of, while links live on', async () => {
  const told = Promise.withResolvers<Readonly<Record<string, unknown>>>()
  const oak = await peers.start({ log: (event, fields) => event === 'stranger refused' && told.resolve(fields) })
  const elm = await peers.start()
  elm.transport.dial({ type: 'seed', address: oak.address })
  await oak.listener.nth('linkUp')
  const [host = '', port] = oak.address.split(':')
  const sockets = Array.from({ length: networkLimits.connectionsOfStrangers + 40 }, () => {
    return connect({ host, port: Number(port) }).on('error', () => undefined)
  })
  expect(await told.promise).toMatchObject({ reason: 'there are as many connections as are taken' })
  elm.say(elm.links()[0]?.link ?? -1, 'still here')
  expect(await oak.listener.nth('control')).toMatchObject({ text: 'still here' })
  for (const socket of sockets) socket.destroy()
})

test('reasons that quote what was sent do not fill the log', () => {
  const told: string[] = []
  const strangers = new Strangers((_, { reason }) => told.push(String(reason)))
  const connection = { remoteAddr: '/ip4/127.0.0.1/tcp/1' } as unknown as Connection
  const refuse = (reason: string) => strangers.refused({ peer: 'elm' as PeerId, connection, reason, isSure: false })
  for (let length = 2_000; length < 3_000; length++) refuse(`${length} bytes are too long`)
  expect(told).toEqual(['2000 bytes are too long'])
  for (let i = 0; i < 1_000; i++) refuse(`no protocol ${String.fromCodePoint(0x4e00 + i)}`)
  expect(told).toHaveLength(17)
  expect(strangers.count).toBe(2_000)
})

/** A connection that came from there. */
function from(ip: string): Connection & MultiaddrConnection {
  const remoteAddr = multiaddr(`/ip4/${ip}/tcp/1`)
  return { remoteAddr, addEventListener: () => undefined } as unknown as Connection & MultiaddrConnection
}

test('who comes from an address that a stranger came from waits a second, for a minute after the last of them', async () => {
  vi.useFakeTimers()
  const { strangerDelayMs, strangerMemoryMs } = networkLimits
  const strangers = new Strangers(() => undefined)
  const refuse = (ip: string, isSure: boolean): void =>
    strangers.refused({ peer: 'elm' as PeerId, connection: from(ip), reason: 'none of ours', isSure })
  const waitedMs = async (ip: string): Promise<number> => {
    const startMs = performance.now()
    const arrived = strangers.arrived(from(ip)).then(() => performance.now() - startMs)
    await vi.advanceTimersByTimeAsync(strangerDelayMs)
    return arrived
  }
  refuse('10.0.0.1', false)
  expect(await waitedMs('10.0.0.1')).toBe(0)
  refuse('10.0.0.1', true)
  expect([await waitedMs('10.0.0.1'), await waitedMs('10.0.0.2')]).toEqual([strangerDelayMs, 0])
  refuse('10.0.0.1', true)
  await vi.advanceTimersByTimeAsync(strangerMemoryMs - 2 * strangerDelayMs)
  expect(await waitedMs('10.0.0.1')).toBe(strangerDelayMs)
  await vi.advanceTimersByTimeAsync(strangerDelayMs)
  expect(await waitedMs('10.0.0.1')).toBe(0)
})

test('of very many such addresses those are forgotten from which nobody has come for longest', async () => {
  vi.useFakeTimers()
  const strangers = new Strangers(() => undefined)
  const nth = (n: number) => from(`10.0.${n >> 8}.${n & 255}`)
  const refuse = (n: number): void =>
    strangers.refused({ peer: 'elm' as PeerId, connection: nth(n), reason: 'none of ours', isSure: true })
  for (let n = 0; n < networkLimits.strangerAddressesMax; n++) refuse(n)
  refuse(0)
  refuse(networkLimits.strangerAddressesMax)
  await strangers.arrived(nth(1))
  let isThere = false
  void strangers.arrived(nth(0)).then(() => (isThere = true))
  await vi.advanceTimersByTimeAsync(1)
  expect(isThere).toBe(false)
})
