// Static tokens, and what becomes of whoever is served for a token while it ends: with a clock that the test moves.
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { limits } from '#protocol/limits'
import type { TopicName } from '#protocol/topic-name'
import { parseTokenFile, parseToken } from '#protocol/token-file'
import type { Authority } from './authority.ts'
import type { Principal } from './principal.ts'
import { authorityOf, madeToken, noonMs, storedOf, TestClock } from './test-authority.ts'

const orders = 'orders' as TopicName
const shop = madeToken('shop', { publish: ['orders'] })
const reader = madeToken('reader', { subscribe: ['orders.**'] })

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const principal = (authority: Authority, text: string): Principal => authority.whose(text) as Principal
const code = (act: () => unknown): unknown => {
  try {
    return act()
  } catch (error) {
    return (error as { code: string }).code
  }
}

test('a token is who it says, and may what it was granted', () => {
  const authority = authorityOf([shop, reader])
  const found = principal(authority, shop.text)
  expect(found.name).toBe('token:shop')
  expect(found.may('publish', orders)).toBe(true)
  expect(found.may('subscribe', orders)).toBe(false)
  // Nothing is made for each request.
  expect(authority.whose(shop.text)).toBe(found)
})

test('nothing but the whole token is one', () => {
  const authority = authorityOf([shop, reader])
  const { id, secret } = parseToken(shop.text) as { id: string; secret: string }
  const wrong = [
    '',
    'pears',
    id,
    shop.stored.sha256,
    `gv_${id}_${shop.stored.sha256}`,
    `gv_${id}_${secret.slice(0, -1)}`,
    `gv_${id}_${secret.slice(0, -1)}${secret.endsWith('0') ? '1' : '0'}`,
    `gv_${id}_${secret.toUpperCase()}`,
    `gv_${reader.stored.id}_${secret}`,
    ` ${shop.text}`,
    `${shop.text}\n`,
  ]
  for (const text of wrong)
    expect(
      code(() => authority.whose(text)),
      text,
    ).toBe('TOKEN_INVALID')
})

test('one that has expired or was revoked in the file is told so', () => {
  const clock = new TestClock()
  const old = madeToken('old', {}, { expires: new Date(noonMs - 1).toISOString() })
  const gone = madeToken('gone', {}, { revoked: new Date(noonMs).toISOString() })
  const authority = authorityOf([old, gone], clock)
  expect(code(() => authority.whose(old.text))).toBe('TOKEN_EXPIRED')
  expect(code(() => authority.whose(gone.text))).toBe('TOKEN_REVOKED')
})

/** Somebody who is served for this token; what ends that. */
function served(authority: Authority, text: string) {
  const faults: string[] = []
  const found = principal(authority, text)
  const leave = found.onFault((fault) => faults.push(fault.code))
  return { faults, leave, found }
}

test('whoever is served is told within seconds that the token has expired', () => {
  const clock = new TestClock()
  const short = madeToken('short', {}, { expires: new Date(noonMs + 10_000).toISOString() })
  const { faults, found } = served(authorityOf([short], clock), short.text)
  clock.nowMs += 9_999
  vi.advanceTimersByTime(5_000)
  expect(faults).toEqual([])
  clock.nowMs += 1
  vi.advanceTimersByTime(1_000)
  expect(faults).toEqual(['TOKEN_EXPIRED'])
  expect(found.fault()?.code).toBe('TOKEN_EXPIRED')
  vi.advanceTimersByTime(60_000)
  // Once.
  expect(faults).toEqual(['TOKEN_EXPIRED'])
})

test('a revocation is told at once, to those whom it is about', () => {
  const authority = authorityOf([shop, reader])
  const one = served(authority, shop.text)
  const other = served(authority, reader.text)
  expect(authority.revoke(shop.stored.id)).toBe(true)
  expect([one.faults, other.faults]).toEqual([['TOKEN_REVOKED'], []])
  expect(code(() => authority.whose(shop.text))).toBe('TOKEN_REVOKED')
})

test('a line that goes, is revoked or changes ends what it was good for; one that stays is not disturbed', () => {
  const authority = authorityOf([shop, reader])
  const one = served(authority, shop.text)
  const other = served(authority, reader.text)
  const more = madeToken('shop', { publish: ['orders', 'bills'] })
  authority.tokens.replace(storedOf(more.stored, reader.stored))
  authority.look()
  expect([one.faults, other.faults]).toEqual([['GRANTS_CHANGED'], []])
  // The same token is good for what it grants now.
  expect(principal(authority, shop.text).may('publish', 'bills' as TopicName)).toBe(true)
  authority.tokens.replace(storedOf(more.stored))
  authority.look()
  expect(other.faults).toEqual(['TOKEN_REVOKED'])
})

test('nobody is watched who has gone, and no timer runs for nobody', () => {
  const authority = authorityOf([shop])
  const { faults, leave } = served(authority, shop.text)
  expect(vi.getTimerCount()).toBe(1)
  leave()
  expect(vi.getTimerCount()).toBe(0)
  authority.revoke(shop.stored.id)
  expect(faults).toEqual([])
})

test('a revocation counts until its token would have expired, and there is a bound', () => {
  const clock = new TestClock()
  const authority = authorityOf([shop], clock)
  for (let n = 0; n < limits.revocationsMax; n++) authority.revoke(`t${n}`, noonMs + 1_000)
  expect(authority.revoke('one-more')).toBe(false)
  expect(authority.isRevoked('one-more')).toBe(false)
  // Known ones can be said again.
  expect(authority.revoke('t7', noonMs + 2_000)).toBe(true)
  clock.nowMs += 1_500
  expect(authority.revoke('one-more')).toBe(true)
  expect([authority.isRevoked('t7'), authority.isRevoked('t8')]).toEqual([true, false])
})

test('a ticket is good once, for a while, for whom it was given', () => {
  const clock = new TestClock()
  const authority = authorityOf([shop], clock)
  const { tickets } = authority
  const found = principal(authority, shop.text)
  const ticket = tickets.give(found)
  expect(ticket).toMatch(/^gvt_[0-9a-f]{64}$/)
  expect(tickets.take(ticket)).toBe(found)
  expect(code(() => tickets.take(ticket))).toBe('TICKET_INVALID')
  const late = tickets.give(found)
  clock.nowMs += limits.ticketMs
  expect(code(() => tickets.take(late))).toBe('TICKET_INVALID')
})

test('tickets that nobody uses are bounded, and make room when they are too old', () => {
  const clock = new TestClock()
  const authority = authorityOf([shop], clock)
  const found = principal(authority, shop.text)
  for (let n = 0; n < limits.ticketsMax; n++) authority.tickets.give({ ...found, name: `shop ${n}` })
  expect(code(() => authority.tickets.give(found))).toBe('OVERLOADED')
  clock.nowMs += limits.ticketMs
  expect(authority.tickets.give(found)).toMatch(/^gvt_/)
})

test('one principal takes no tickets from others: beyond its share its oldest goes', () => {
  const authority = authorityOf([shop])
  const { tickets } = authority
  const found = principal(authority, shop.text)
  const others = { ...found, name: 'other' }
  const kept = tickets.give(others)
  const given = Array.from({ length: limits.ticketsMax + 1 }, () => tickets.give(found))
  const good = given.filter((ticket) => code(() => tickets.look(ticket)) === found)
  expect(good).toEqual(given.slice(-limits.ticketsOfPrincipalMax))
  expect(tickets.take(kept)).toBe(others)
})

test.each<[string, unknown, RegExp]>([
  ['no JSON', '{', /JSON/],
  ['a list', [], /tokens/],
  ['something besides tokens', { tokens: [], version: 2 }, /tokens/],
  ['a token that is none', { tokens: [7] }, /tokens\[0\] must be an object/],
  ['an id that is none', { tokens: [{ ...shop.stored, id: 'x' }] }, /id/],
  ['a name that could act in a terminal', { tokens: [{ ...shop.stored, name: '\u001b[2J' }] }, /name/],
  ['the token itself instead of its hash', { tokens: [{ ...shop.stored, sha256: shop.text }] }, /sha256/],
  ['one id twice', { tokens: [shop.stored, shop.stored] }, /id of another/],
  ['a field that is not known', { tokens: [{ ...shop.stored, admin: true }] }, /"admin"/],
  ['a time that is none', { tokens: [{ ...shop.stored, expires: '2027-13-01T00:00:00Z' }] }, /times/],
  ['a time zone that is not said', { tokens: [{ ...shop.stored, expires: '2027-01-01T00:00:00' }] }, /times/],
])('a file with %s is refused', (_, document, complaint) => {
  expect(parseTokenFile(typeof document === 'string' ? document : JSON.stringify(document))).toMatch(complaint)
})
