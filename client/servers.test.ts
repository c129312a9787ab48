// Where a client goes when its server fails: spread over the others, never soon again to one that failed, and to each in turn.
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Servers } from './servers.ts'

const [oak, elm, ash, fir] = ['http://oak:8400', 'http://elm:8400', 'http://ash:8400', 'http://fir:8400'] as const

const serversOf = (urls: readonly string[], random = Math.random) =>
  new Servers({ urls, random, answerMsMax: 10, fetch: () => Promise.reject(new Error('nobody is asked here')) })

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }))
afterEach(() => void vi.useRealTimers())

test('the clients of a peer that ends spread over those that it has told of', () => {
  const counts = new Map<string, number>()
  for (let client = 0; client < 300; client++) {
    const servers = serversOf([oak])
    servers.learn([elm, ash, fir])
    servers.worked()
    servers.moveOn()
    counts.set(servers.current, (counts.get(servers.current) ?? 0) + 1)
  }
  expect([...counts.keys()].toSorted()).toEqual([ash, elm, fir])
  for (const count of counts.values()) expect(count).toBeGreaterThan(60)
})

test('named ones come before learned ones, and in a row of failures each is met once before one is met again', () => {
  const servers = serversOf([oak, elm], () => 0.99)
  servers.learn([ash, fir])
  const met = [servers.current]
  while (met.length < 9) {
    // However long each takes to fail.
    vi.advanceTimersByTime(60_000)
    servers.moveOn()
    met.push(servers.current)
  }
  expect(met).toEqual([oak, elm, fir, ash, oak, elm, fir, ash, oak])
})

test('one that failed of late is avoided while another works, and forgiven later', () => {
  const servers = serversOf([oak, elm, ash], () => 0)
  servers.moveOn()
  expect(servers.current).toBe(elm)
  servers.worked()
  vi.advanceTimersByTime(5_000)
  servers.moveOn()
  expect(servers.current).toBe(ash)
  servers.worked()
  vi.advanceTimersByTime(11_000)
  servers.moveOn()
  expect(servers.current).toBe(oak)
})

test('those that a peer told of before it was cut off are remembered, after those that it knows of now', () => {
  const servers = serversOf([oak], () => 0)
  servers.learn([elm, ash])
  servers.learn([])
  servers.moveOn()
  expect(servers.current).toBe(elm)
  servers.learn([fir])
  servers.moveOn()
  expect(servers.current).toBe(fir)
  servers.moveOn()
  expect(servers.current).toBe(ash)
})

test('with one server there is nowhere else to go', () => {
  const servers = serversOf([oak])
  servers.moveOn()
  expect([servers.current, servers.count]).toEqual([oak, 1])
})
