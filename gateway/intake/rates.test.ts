// Token buckets on a clock of the test: 10 requests and 1,000 bytes a second, two seconds' worth at once.
import { expect, test } from 'vitest'
import { limits } from '#protocol/limits'
import { Rates } from './rates.ts'

function rates() {
  const clock = { nowMs: 5_000 }
  return { clock, rates: new Rates({ requestsPerSecond: 10, bytesPerSecond: 1_000 }, () => clock.nowMs) }
}

test('two seconds of requests are there at once, then one each tenth of a second', () => {
  const { clock, rates: buckets } = rates()
  expect(Array.from({ length: 20 }, () => buckets.take('oak')).every((waitMs) => waitMs === 0)).toBe(true)
  expect(buckets.take('oak')).toBe(100)
  clock.nowMs += 60
  expect(buckets.take('oak')).toBe(40)
  clock.nowMs += 40
  expect(buckets.take('oak')).toBe(0)
  expect(buckets.take('oak')).toBe(100)
})

test('what is refused costs nothing, and a bucket never holds more than its size', () => {
  const { clock, rates: buckets } = rates()
  for (let i = 0; i < 1_000; i++) buckets.take('oak')
  clock.nowMs += 3_600_000
  for (let i = 0; i < 20; i++) expect(buckets.take('oak')).toBe(0)
  expect(buckets.take('oak')).toBe(100)
})

test('each client has a bucket of its own', () => {
  const { rates: buckets } = rates()
  for (let i = 0; i < 30; i++) buckets.take('oak')
  expect(buckets.take('oak')).toBe(100)
  expect(buckets.take('elm')).toBe(0)
})

test('bytes are counted when they have come: who has sent too many waits until they are made up for', () => {
  const { clock, rates: buckets } = rates()
  expect(buckets.spend('oak', 2_000)).toBe(0)
  expect(buckets.take('oak')).toBe(0)
  expect(buckets.spend('oak', 500)).toBe(500)
  expect(buckets.take('oak')).toBe(500)
  clock.nowMs += 500
  expect(buckets.take('oak')).toBe(0)
})

test('a message over a socket counts as a request, and is waited for instead of refused', () => {
  const { rates: buckets } = rates()
  for (let i = 0; i < 19; i++) expect(buckets.pace('oak', 10)).toBe(0)
  expect(buckets.pace('oak', 10)).toBe(100)
  expect(buckets.pace('oak', 2_000)).toBe(200)
})

test('who has used up half of a bucket is told in the fields of the draft, and nobody else', () => {
  const { rates: buckets } = rates()
  expect(buckets.fields('oak')).toBeUndefined()
  for (let i = 0; i < 11; i++) buckets.take('oak')
  buckets.spend('oak', 400)
  expect(buckets.fields('oak')).toEqual({
    policy: '"requests";q=20;w=2, "bytes";q=2000;w=2;qu="content-bytes"',
    limit: '"requests";r=9;t=2, "bytes";r=1600;t=1',
  })
  buckets.spend('oak', 3_000)
  expect(buckets.fields('oak')?.limit).toContain('"bytes";r=0;t=4')
})

test('a flood of addresses takes no more memory than the table has, and forgets who was quiet longest', () => {
  const { clock, rates: buckets } = rates()
  for (let i = 0; i < 30; i++) buckets.take('oak')
  for (let i = 0; i < limits.rateBucketsMax - 1; i++) buckets.take(`one-${i}`)
  clock.nowMs += 20
  expect(buckets.take('oak')).toBe(80)
  for (let i = 0; i < limits.rateBucketsMax - 1; i++) buckets.take(`two-${i}`)
  expect(buckets.size).toBe(limits.rateBucketsMax)
  expect(buckets.take('oak')).toBe(80)
  buckets.take('three')
  buckets.take('four')
  expect(buckets.size).toBe(limits.rateBucketsMax)
})
