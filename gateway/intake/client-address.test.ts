// Whom a request counts for (S15): one client has one address however it is written, and nobody can choose another.
import { expect, test } from 'vitest'
import { ClientAddresses } from './client-address.ts'

const direct = new ClientAddresses([])

test.each([
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['::ffff:c000:207', '192.0.2.7'],
  ['0:0:0:0:0:ffff:c000:0207', '192.0.2.7'],
  ['2001:db8:1:2:aaaa::1', '2001:db8:1:2::/64'],
  ['2001:db8:1:2:bbbb:0:0:9', '2001:db8:1:2::/64'],
  ['2001:0db8:0001:0002::', '2001:db8:1:2::/64'],
  ['2001:db8:1:3::1', '2001:db8:1:3::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
  ['', ''],
])('a socket from %s counts as %s', (address, client) => {
  expect(direct.ofSocket(address)).toEqual({ client, isProxy: false })
})

const behind = new ClientAddresses(['10.0.0.0/8', 'fd00::/8', '192.0.2.1'])

test.each([
  ['::ffff:10.1.2.3', true],
  ['10.255.0.1', true],
  ['192.0.2.1', true],
  ['fd12::1', true],
  ['192.0.2.2', false],
  ['11.0.0.1', false],
  ['fe80::1', false],
])('%s is a proxy: %s', (address, isProxy) => {
  expect(behind.ofSocket(address).isProxy).toBe(isProxy)
})

test.each([
  ['198.51.100.4', '198.51.100.4'],
  // What the client made up stands first.
  ['1.1.1.1, 198.51.100.4', '198.51.100.4'],
  ['1.1.1.1, 198.51.100.4, 10.0.0.7', '198.51.100.4'],
  ['198.51.100.4:5123', '198.51.100.4'],
  ['[2001:db8:1:2::7]:5123', '2001:db8:1:2::/64'],
  ['::ffff:198.51.100.4', '198.51.100.4'],
  // Not to be made sense of: the proxy itself.
  ['unknown', '10.0.0.9'],
  ['', '10.0.0.9'],
  [undefined, '10.0.0.9'],
  ['10.0.0.1', '10.0.0.9'],
  [`${'1.1.1.1, '.repeat(100_000)}198.51.100.4`, '198.51.100.4'],
])('of what a proxy passes on for %.60s the client is %s', (forwardedFor, client) => {
  expect(behind.ofForwarded(forwardedFor, behind.ofSocket('10.0.0.9'))).toBe(client)
})

test.each(['oak', '10.0.0.0/33', '10.0.0.0/x', '10.0.0.0/8/8', 'fd00::/129', ''])(
  '%j is no proxy to trust',
  (proxy) => {
    expect(() => new ClientAddresses([proxy])).toThrow(/neither an address nor a subnet/)
  },
)
