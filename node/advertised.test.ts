import { expect, test } from 'vitest'
import { advertisedAddresses, advertisedHttp } from './advertised.ts'

const bound = (host: string, peers: readonly string[] = ['172.18.0.2:7400', '127.0.0.1:7400']) => ({
  peers,
  clients: { host, port: 8400, url: `http://${host.includes(':') ? `[${host}]` : host}:8400` },
})

test.each([
  ['what is said', { advertiseHttp: 'https://oak.example' }, bound('0.0.0.0'), 'https://oak.example'],
  ['the one address that it listens on', {}, bound('127.0.0.1'), 'http://127.0.0.1:8400'],
  ['on all interfaces, where peers reach it', {}, bound('0.0.0.0'), 'http://172.18.0.2:8400'],
  ['on all interfaces, the name that peers are told', { advertise: 'oak:7400' }, bound('::'), 'http://oak:8400'],
  ['an IPv6 address in brackets', {}, bound('::', ['[fd00::2]:7400']), 'http://[fd00::2]:8400'],
])('clients are told %s', (_, config, where, url) => {
  expect(advertisedHttp(config, where)).toBe(url)
})

test('peers are told where it listens, or what is said instead, in bounds', () => {
  expect(advertisedAddresses({}, bound('127.0.0.1'))).toEqual(['172.18.0.2:7400', '127.0.0.1:7400'])
  expect(advertisedAddresses({ advertise: 'oak:7400' }, bound('127.0.0.1'))).toEqual(['oak:7400'])
  const many = Array.from({ length: 100 }, (_, i) => `10.0.0.${i}:7400`)
  expect(advertisedAddresses({}, bound('127.0.0.1', many))).toEqual(many.slice(0, 8))
})
