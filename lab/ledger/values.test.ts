import { expect, test } from 'vitest'
import { runsOf } from './ledger.ts'
import { nameOf, valueOf } from './values.ts'

test('a value says whose it is, and any changed byte of it shows', () => {
  for (const seq of [0, 1, 996, 12_345]) {
    const value = valueOf('orders-1', seq)
    expect(nameOf(value)).toEqual({ writer: 'orders-1', seq })
    for (let i = 0; i < value.length; i += Math.ceil(value.length / 50)) {
      const code = value.charCodeAt(i) ^ 1
      expect(nameOf(value.slice(0, i) + String.fromCharCode(code) + value.slice(i + 1))).toBeUndefined()
    }
    expect(nameOf(value.slice(0, -1))).toBeUndefined()
  }
})

test('ids with consecutive offsets of one feed are a run', () => {
  expect(runsOf(['oak.e1.4', 'oak.e1.5', 'oak.e1.7', 'oak.e2.8'])).toEqual([
    { feed: 'oak.e1', from: 4, count: 2 },
    { feed: 'oak.e1', from: 7, count: 1 },
    { feed: 'oak.e2', from: 8, count: 1 },
  ])
})
