// What a person types becomes a configuration, or a complaint that names the field.
import { expect, test } from 'vitest'
import { envNameOf, flagNameOf, parseAddress, parseNodeConfig } from './config.ts'

const parse = (flags: Record<string, unknown>, env: Record<string, string> = {}) => parseNodeConfig({ flags, env })

test('flags win over the environment, the environment over defaults', () => {
  const env = { GRAPEVINE_NAME: 'elm', GRAPEVINE_HTTP: '127.0.0.1:8500', GRAPEVINE_LAB: 'true' }
  const config = parse({ name: 'oak' }, env)
  expect(config).toMatchObject({ name: 'oak', http: '127.0.0.1:8500', listen: '127.0.0.1:7400', lab: true })
})

test('the data directory follows the name unless it is given', () => {
  expect(parse({ name: 'oak' }).data).toBe('./data/oak')
  expect(parse({ name: 'oak', data: '/var/lib/oak' }).data).toBe('/var/lib/oak')
})

test('--join takes lists, repeated flags and an empty variable', () => {
  expect(parse({ join: ['elm:7400,ash:7400', 'fir:7400'] }).join).toEqual(['elm:7400', 'ash:7400', 'fir:7400'])
  expect(parse({}, { GRAPEVINE_JOIN: '' }).join).toEqual([])
})

test.each([
  [{ name: 'oak.example' }, '--name'],
  [{ listen: '7400' }, '--listen'],
  [{ http: '127.0.0.1:99999' }, '--http'],
  [{ storage: 'segments' }, '--storage'],
  [{ advertiseHttp: 'ftp://oak' }, '--advertise-http'],
  [{ profile: 'fast' }, '--profile'],
  [{ replaceAfter: '1 day' }, '--replace-after'],
  [{ advertise: 'oak:0' }, '--advertise'],
  [{ advertise: '0.0.0.0:7400' }, '--advertise'],
  [{ join: 'elm:7400,http://ash' }, '--join'],
  [{ join: 'elm:0' }, '--join'],
  [{ listen: '127.0.0.1:7400', http: '127.0.0.1:7400' }, '--http'],
  [{ listen: '0.0.0.0:7400', http: '127.0.0.1:7400', insecure: true }, '--http'],
])('%j is refused and the complaint names %s', (flags, field) => {
  expect(() => parse(flags)).toThrow(
    expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringContaining(field) }),
  )
})

test('a duration is read as milliseconds', () => {
  expect(parse({}).replaceAfter).toBe(3_600_000)
  expect(parse({}).deletedGrace).toBe(7 * 86_400_000)
  expect(parse({ deletedGrace: '30d' }).deletedGrace).toBe(30 * 86_400_000)
  expect(parse({ replaceAfter: '90s' }).replaceAfter).toBe(90_000)
  expect(parse({}, { GRAPEVINE_REPLACE_AFTER: '2h' }).replaceAfter).toBe(7_200_000)
})

test.each([
  [{ listen: '127.0.0.1:0', http: '127.0.0.1:0' }],
  [{ listen: '127.0.0.1:7400', http: '127.0.0.2:7400' }],
  [{ join: ['elm', 'ash.example:7400', '[::1]:7400'] }],
])('%j does not contradict itself', (flags) => {
  expect(parse(flags)).toMatchObject(flags)
})

test.each([[{ listen: '0.0.0.0:7400' }], [{ http: '[::]:8400' }], [{ listen: 'oak.example:7400' }]])(
  'beyond loopback %j needs --insecure',
  (flags) => {
    expect(() => parse(flags)).toThrow(expect.objectContaining({ code: 'INSECURE_LISTEN' }))
    expect(parse({ ...flags, insecure: true })).toMatchObject(flags)
  },
)

test('with tokens or keys that sign them, clients may come from beyond loopback; peers have neither', () => {
  for (const checked of [{ tokensFile: './tokens.json' }, { jwtKeys: 'https://id.example/keys' }]) {
    const flags = { http: '0.0.0.0:8400', ...checked }
    expect(parse(flags)).toMatchObject(flags)
    expect(() => parse({ ...flags, listen: '0.0.0.0:7400' })).toThrow(/--listen 0.0.0.0:7400/)
  }
})

test('keys come from a file, or by a way on which nobody changes them', () => {
  for (const jwtKeys of ['keys.json', 'https://id.example/keys', 'http://127.0.0.1:9000/keys', 'http://[::1]/keys']) {
    expect(parse({ jwtKeys })).toMatchObject({ jwtKeys })
  }
  for (const jwtKeys of ['http://id.example/keys', 'ftp://id.example/keys', 'https://']) {
    expect(() => parse({ jwtKeys }), jwtKeys).toThrow(/--jwt-keys/)
  }
})

test('origins of pages are listed as browsers write them', () => {
  expect(parse({ allowOrigin: 'HTTPS://Shop.example, *' })).toMatchObject({
    allowOrigin: ['https://shop.example', '*'],
  })
  expect(() => parse({ allowOrigin: 'shop.example' })).toThrow(/--allow-origin/)
})

test('with a secret, peers may come from beyond loopback; clients have none', () => {
  const flags = { listen: '0.0.0.0:7400', secretFile: './secret' }
  expect(parse(flags)).toMatchObject(flags)
  expect(() => parse({ ...flags, http: '0.0.0.0:8400' })).toThrow(/--http 0.0.0.0:8400/)
})

test.each([
  ['127.0.0.1:7400', { host: '127.0.0.1', port: 7400 }],
  ['[::1]:0', { host: '::1', port: 0 }],
  ['oak:7400', { host: 'oak', port: 7400 }],
  ['::1:7400', undefined],
  ['http://oak:7400', undefined],
])('the address %s is %j', (text, parts) => {
  expect(parseAddress(text)).toEqual(parts)
})

test('a field has a flag and a variable', () => {
  expect([flagNameOf('advertiseHttp'), envNameOf('advertiseHttp')]).toEqual([
    '--advertise-http',
    'GRAPEVINE_ADVERTISE_HTTP',
  ])
})
