// Which pages may use a gateway: what browsers say of them is compared with what the operator listed, and with ourselves.
import { expect, test } from 'vitest'
import { Origins, parseOrigin } from './origins.ts'

const origins = (allowOrigins: readonly string[] = [], ownHosts: readonly string[] = []) =>
  new Origins({ allowOrigins, ownHosts })

test('a program, which sends no Origin, is nobody`s page', () => {
  expect(origins().fault({ host: '10.0.0.7:8400' })).toBeUndefined()
})

test.each([
  ['http://127.0.0.1:8400', '127.0.0.1:8400'],
  ['http://[::1]:8400', '[::1]:8400'],
  ['http://localhost:8400', 'localhost:8400'],
  ['http://10.0.0.7', '10.0.0.7:80'],
  ['https://mesh.example', 'mesh.example'],
])('%s is a page of the gateway asked as %s', (origin, host) => {
  expect(origins([], ['Mesh.example']).fault({ origin, host })).toBeUndefined()
})

test.each([
  ['https://evil.example', '127.0.0.1:8400'],
  // Another port is another origin, and maybe another program.
  ['http://127.0.0.1:3000', '127.0.0.1:8400'],
  // DNS rebinding: a name of somebody else that leads here.
  ['http://evil.example:8400', 'evil.example:8400'],
  ['http://127.0.0.1.evil.example', '127.0.0.1.evil.example'],
  ['null', '127.0.0.1:8400'],
  ['', '127.0.0.1:8400'],
  ['http://127.0.0.1:8400/path', '127.0.0.1:8400'],
  ['http://user@127.0.0.1:8400', '127.0.0.1:8400'],
  ['http://127.0.0.1:8400', 'user@127.0.0.1:8400/x'],
  ['http://127.0.0.1:8400', undefined],
])('%j at %j is refused by name', (origin, host) => {
  expect(origins().fault({ origin, host })).toMatchObject({ code: 'ORIGIN_REFUSED' })
})

test('what is listed may, to the letter; * is anybody', () => {
  const listed = origins(['https://shop.example'])
  expect(listed.fault({ origin: 'https://shop.example', host: '127.0.0.1:8400' })).toBeUndefined()
  for (const origin of ['http://shop.example', 'https://shop.example:8443', 'https://a.shop.example']) {
    expect(listed.fault({ origin, host: '127.0.0.1:8400' })?.code, origin).toBe('ORIGIN_REFUSED')
  }
  expect(origins(['*']).fault({ origin: 'null', host: '127.0.0.1:8400' })).toBeUndefined()
})

test.each([
  ['127.0.0.1:8400', undefined],
  ['[::1]:8400', undefined],
  ['localhost', undefined],
  ['LOCALHOST:8400', undefined],
  ['Mesh.example:8400', undefined],
  // HTTP/1.0.
  [undefined, undefined],
  ['evil.example:8400', 'ORIGIN_REFUSED'],
  ['127.0.0.1.evil.example', 'ORIGIN_REFUSED'],
  ['a!b.example', 'ORIGIN_REFUSED'],
  // No hosts: BAD_REQUEST, later.
  ['', undefined],
  ['a b', undefined],
  ['localhost@evil.example', undefined],
])('on loopback, where no token is asked for, a request to %j without Origin is answered: %s', (host, code) => {
  const open = new Origins({ allowOrigins: [], ownHosts: ['mesh.example'] }, { isOpenOnLoopback: true })
  expect(open.fault({ host })?.code).toBe(code)
  // Again, now that it may be known.
  expect(open.fault({ host })?.code).toBe(code)
})

test('an origin is read as browsers write it', () => {
  expect(parseOrigin('HTTPS://Shop.Example:443/')).toBe('https://shop.example')
  expect(parseOrigin('*')).toBe('*')
  for (const text of ['shop.example', 'https://shop.example/app', 'ftp://shop.example', 'https://', 'https://a b']) {
    expect(parseOrigin(text), text).toBeUndefined()
  }
})
