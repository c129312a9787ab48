// JSON web tokens: each key kind is good, and each known way of making one up is not (RFC 8725).
import { createHmac } from 'node:crypto'
import { exportJWK, generateKeyPair } from 'jose'
import { beforeAll, describe, expect, test } from 'vitest'
import { limits } from '#protocol/limits'
import { readKeySet } from './key-set.ts'
import type { SignedTokens } from './signed-tokens.ts'
import { noonMs, signedToken, signedTokens, type SigningKey, TestClock } from './test-authority.ts'

const secretBytes = Buffer.alloc(32, 7)
const hmac: SigningKey = {
  jwk: { kty: 'oct', kid: 'hmac', alg: 'HS256', k: secretBytes.toString('base64url') },
  private: secretBytes,
  alg: 'HS256',
}
let eddsa: SigningKey
let rsa: SigningKey
let ec: SigningKey
let keys: SigningKey[]

async function keyPair(alg: string, kid: string): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
  return { jwk: { ...(await exportJWK(publicKey)), kid }, private: privateKey, alg }
}

beforeAll(async () => {
  ;[eddsa, rsa, ec] = await Promise.all([keyPair('EdDSA', 'ed'), keyPair('RS256', 'rsa'), keyPair('ES256', 'ec')])
  keys = [hmac, eddsa, rsa, ec]
})

const find = async (tokens: SignedTokens, text: string) => tokens.find(text)
const base64 = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
const hourLater = noonMs / 1_000 + 3_600

test('a token signed by any of the keys says who that is, until when, and what is granted', async () => {
  const tokens = await signedTokens(keys)
  for (const key of keys) {
    const text = await signedToken(key, { jti: 't-17', iss: 'https://id.example' })
    expect(await find(tokens, text)).toMatchObject({
      id: 't-17',
      principal: 'jwt:["https://id.example","shop"]',
      expiresMs: noonMs + 3_600_000,
      grants: { publish: ['orders'], subscribe: [], manage: [] },
    })
  }
})

test('a signature is checked once', async () => {
  const tokens = await signedTokens(keys)
  const text = await signedToken(eddsa)
  const first = await find(tokens, text)
  // At once, and the same: no promise.
  expect(tokens.find(text)).toBe(first)
})

test('as many tokens as were checked are remembered, and no more', async () => {
  const tokens = await signedTokens([hmac])
  const texts = await Promise.all([1, 2].map((n) => signedToken(hmac, { jti: `t${n}` })))
  await find(tokens, texts[0] as string)
  const many = Array.from({ length: limits.verifiedTokensMax }, (_, n) =>
    hmacToken({ alg: 'HS256', kid: 'hmac' }, { n }),
  )
  for (const text of many) await find(tokens, text)
  expect(tokens.find(texts[0] as string)).toBeInstanceOf(Promise)
  expect(tokens.find(many.at(-1) as string)).not.toBeInstanceOf(Promise)
})

/** Made by hand: with whatever header. */
function hmacToken(header: object, claims: object = {}, secret: string | Buffer = secretBytes): string {
  const body = `${base64(header)}.${base64({ sub: 'shop', aud: 'grapevine', exp: hourLater, ...claims })}`
  return `${body}.${createHmac('sha256', secret).update(body).digest('base64url')}`
}

describe('what is made up is refused', () => {
  test.each<[string, () => string | Promise<string>, string?]>([
    ['none as its algorithm', () => `${base64({ alg: 'none' })}.${base64({ sub: 'shop', exp: hourLater })}.`],
    ['none, with a kid', () => `${base64({ alg: 'none', kid: 'ed' })}.${base64({ sub: 'shop', exp: hourLater })}.`],
    // The public key of RSA as the secret of an HMAC: whoever believes the header verifies it.
    ['an HMAC by a public key', () => hmacToken({ alg: 'HS256', kid: 'rsa' }, {}, JSON.stringify(rsa.jwk))],
    ['another algorithm than that of its key', () => hmacToken({ alg: 'HS512', kid: 'hmac' })],
    ['a key that is not known', () => hmacToken({ alg: 'HS256', kid: '../../dev/null' })],
    ['no kid where there are several keys', () => hmacToken({ alg: 'HS256' })],
    ['a wrong signature', async () => `${(await signedToken(eddsa)).slice(0, -4)}AAAA`],
    [
      'claims of another token',
      async () => spliced(await signedToken(eddsa), await signedToken(eddsa, { sub: 'root' })),
    ],
    ['an extension that must be understood', () => hmacToken({ alg: 'HS256', kid: 'hmac', crit: ['x'], x: 1 })],
    ['no exp', () => signedToken(hmac, { exp: undefined })],
    ['an exp that is no number', () => hmacToken({ alg: 'HS256', kid: 'hmac' }, { exp: 'never' })],
    ['no sub', () => signedToken(hmac, { sub: undefined })],
    ['a sub that is no text', () => hmacToken({ alg: 'HS256', kid: 'hmac' }, { sub: { admin: true } })],
    ['a sub without end', () => signedToken(hmac, { sub: 'x'.repeat(limits.producerNameLengthMax + 1) })],
    ['no aud', () => signedToken(hmac, { aud: undefined })],
    ['an aud of somebody else', () => signedToken(hmac, { aud: ['billing', 'shop'] })],
    ['a beginning that is to come', () => signedToken(hmac, { nbf: noonMs / 1_000 + 60 })],
    ['an end that was', () => signedToken(hmac, { exp: noonMs / 1_000 - 120 }), 'TOKEN_EXPIRED'],
    ['an end within the leeway of beginnings', () => signedToken(hmac, { exp: noonMs / 1_000 - 1 }), 'TOKEN_EXPIRED'],
    ['grants that are none', () => signedToken(hmac, { grapevine: { publsh: ['**'] } })],
    [
      'ten thousand grants',
      () => signedToken(hmac, { grapevine: { publish: Array.from({ length: 600 }, () => 'a') } }),
    ],
    ['more text than there may be', () => signedToken(hmac, { jti: 'x'.repeat(limits.tokenLengthMax) })],
    ['no token at all', () => 'pears'],
    ['parts that are no base64', () => '!!.!!.!!'],
  ])('%s', async (_, make, code = 'TOKEN_INVALID') => {
    const tokens = await signedTokens(keys)
    const text = await make()
    const refusal = await find(tokens, text).catch((error: unknown) => error)
    expect(refusal).toMatchObject({ code })
    // What goes to a client and into logs says nothing of the token.
    const told = JSON.stringify([String(refusal), refusal])
    for (const part of text.split('.')) if (part.length > 8) expect(told).not.toContain(part)
  })
})

function spliced(one: string, other: string): string {
  const [header, , signature] = one.split('.')
  return [header, other.split('.')[1], signature].join('.')
}

test('a clock that is a little behind accepts what has just begun', async () => {
  const tokens = await signedTokens(keys)
  await expect(find(tokens, await signedToken(hmac, { nbf: noonMs / 1_000 + 20 }))).resolves.toBeDefined()
})

test('iss is a matter of who configures one', async () => {
  const tokens = await signedTokens(keys, { issuer: 'https://id.example' })
  await expect(find(tokens, await signedToken(hmac, { iss: 'https://id.example' }))).resolves.toBeDefined()
  for (const iss of ['https://evil.example', undefined]) {
    await expect(find(tokens, await signedToken(hmac, { iss }))).rejects.toMatchObject({ code: 'TOKEN_INVALID' })
  }
})

test('an unknown key is looked for once more; a key that is gone takes its tokens with it', async () => {
  let asked = 0
  const clock = new TestClock()
  const later: { tokens?: SignedTokens } = {}
  const refresh = async () => {
    asked++
    const read = await readKeySet(JSON.stringify({ keys: [hmac.jwk, eddsa.jwk] }), {
      mayHaveSecrets: true,
      known: later.tokens?.keys ?? [],
    })
    if (typeof read !== 'string') later.tokens?.replaceKeys(read)
  }
  const tokens = (later.tokens = await signedTokens([hmac], { clock, refresh }))
  const known = await find(tokens, await signedToken(hmac))
  const found = await find(tokens, await signedToken(eddsa))
  expect(asked).toBe(1)
  // The key that was there before is the same one.
  expect(tokens.trusts(known.key)).toBe(true)
  tokens.replaceKeys(tokens.keys.filter(({ kid }) => kid !== 'ed'))
  expect(tokens.trusts(found.key)).toBe(false)
  await expect(find(tokens, await signedToken(eddsa, { jti: 'again' }))).resolves.toBeDefined()
  expect(asked).toBe(2)
})

describe('a set of keys', () => {
  const read = (document: unknown, mayHaveSecrets = true) =>
    readKeySet(typeof document === 'string' ? document : JSON.stringify(document), { mayHaveSecrets, known: [] })

  test('of whatever else is there only keys that sign tokens are taken, and only the public part of them', async () => {
    const { privateKey } = await generateKeyPair('EdDSA', { extractable: true })
    const whole = await exportJWK(privateKey)
    const enc = { ...ec.jwk, use: 'enc', kid: 'enc' }
    const set = await read({
      keys: [{ ...whole, kid: 'whole' }, enc, { kty: 'OKP', crv: 'X25519', x: 'AA', kid: 'x' }],
    })
    expect(set).toMatchObject([{ kid: 'whole', alg: 'EdDSA', key: { type: 'public' } }])
  })

  test.each<[string, () => unknown, RegExp, boolean?]>([
    ['no JSON', () => '{', /JSON/],
    ['no keys', () => ({}), /keys/],
    ['none that signs', () => ({ keys: [] }), /no key/],
    ['a secret that is short', () => ({ keys: [{ kty: 'oct', k: 'AAAA' }] }), /32 bytes/],
    ['a secret at a URL', () => ({ keys: [hmac.jwk] }), /secret/, false],
    ['two keys of one kid', () => ({ keys: [hmac.jwk, { ...ec.jwk, kid: 'hmac' }] }), /kid/],
    [
      'two keys without kid',
      () => ({
        keys: [
          { ...hmac.jwk, kid: undefined },
          { ...ec.jwk, kid: undefined },
        ],
      }),
      /kid/,
    ],
    ['a key that is none', () => ({ keys: [{ kty: 'OKP', crv: 'Ed25519', x: 'AA' }] }), /EdDSA/],
    ['too many keys', () => ({ keys: Array.from({ length: limits.tokenKeysMax + 1 }, () => ec.jwk) }), /more than/],
  ])('%s is refused', async (_, document, complaint, mayHaveSecrets = true) => {
    expect(await read(document(), mayHaveSecrets)).toMatch(complaint)
  })
})

test('the claim of grants may be left out, and grants nothing', async () => {
  const tokens = await signedTokens(keys)
  const { grants } = await find(tokens, await signedToken(hmac, { grapevine: undefined }))
  expect(grants).toEqual({ publish: [], subscribe: [], manage: [] })
})
