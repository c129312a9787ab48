// How much a peer may send before its records are taken: by their size, and by the pace of who takes them.
import { expect, test } from 'vitest'
import { RecordCredit } from './record-credit.ts'

/** Receives all that there is credit for and takes it; how much was given at each turn. */
function turns(bytes: number, count: number): number[] {
  const credit = new RecordCredit()
  const given: number[] = []
  for (let turn = 0, n = credit.renewed({ isBinary: false }); turn < count; turn++) {
    given.push(n)
    for (let i = 0; i < n; i++) credit.received(1, bytes)
    n = Array.from({ length: n }, () => credit.taken()).reduce((sum, more) => sum + more, 0)
  }
  return given
}

test('the window begins at 64 records and grows to 1,024 where they are small', () => {
  expect(turns(200, 4)[0]).toBe(64)
  expect(Math.max(...turns(200, 10))).toBeLessThanOrEqual(1_024)
  expect(turns(200, 10).at(-1)).toBeGreaterThan(500)
})

test('of the largest records at least 16 may be on their way, and not many more', () => {
  const [first, ...later] = turns(1_000_000, 10)
  expect(first).toBe(64)
  for (const n of later.slice(1)) expect(n).toBeLessThanOrEqual(16)
  expect(later.at(-1)).toBeGreaterThan(0)
})

test('what is not taken is not replaced, not even at a new socket', () => {
  const credit = new RecordCredit()
  const n = credit.renewed({ isBinary: false })
  for (let i = 0; i < n; i++) credit.received(1, 64 * 1024)
  expect(credit.renewed({ isBinary: false })).toBe(0)
  expect(Array.from({ length: n / 2 - 1 }, () => credit.taken()).every((more) => more === 0)).toBe(true)
  expect(credit.taken()).toBe(n / 2)
})

test('in binary the window is larger; a batch beyond it is owed, and what cannot be read is given anew at once', () => {
  const credit = new RecordCredit()
  expect(credit.renewed({ isBinary: true })).toBe(64)
  credit.received(20_000, 20_000 * 200)
  const given = Array.from({ length: 20_000 }, () => credit.taken()).filter((more) => more > 0)
  expect(Math.max(...given)).toBeLessThanOrEqual(8_192)
  expect(given.reduce((sum, more) => sum + more, 0)).toBeGreaterThan(20_000)
  expect(credit.passedOver(10_000)).toBeGreaterThanOrEqual(10_000)
})
