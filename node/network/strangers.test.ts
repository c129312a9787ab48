import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { SeededRandom } from '#protocol/random'
import { Strangers } from './strangers.ts'
import { testPeers } from './test-peers.ts'
import type { PeerId } from '#protocol/ids'
import type { Connection } from '@libp2p/interface'

// Goal: whoever speaks something else on the peer port is told of, and harms nobody. Method: raw TCP.

const peers = testPeers()
afterEach(() => peers.stopAll())

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
