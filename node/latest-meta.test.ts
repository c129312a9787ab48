// A value that changes often, and a disk that takes its time.
import { expect, test } from 'vitest'
import type { StoreChange } from '#storage/feed-store'
import { LatestMeta } from './latest-meta.ts'

const bytes = (text: string) => new TextEncoder().encode(text)

test('while one write waits for the disk, only the newest value waits behind it', () => {
  const writes: { readonly text: string; readonly stored: () => void }[] = []
  const storeChange = (change: StoreChange, stored = () => {}) => {
    if (change.type === 'meta') writes.push({ text: new TextDecoder().decode(change.value), stored })
  }
  const told: string[] = []
  const registry = new LatestMeta({ storeChange }, 'registry')
  for (const text of ['one', 'two', 'three']) registry.set(bytes(text), () => told.push(text))
  expect(writes.map(({ text }) => text)).toEqual(['one'])
  writes[0]?.stored()
  expect(writes.map(({ text }) => text)).toEqual(['one', 'three'])
  writes[1]?.stored()
  registry.set(bytes('four'))
  expect(writes.map(({ text }) => text)).toEqual(['one', 'three', 'four'])
  expect(told).toEqual(['one', 'three'])
})

test('who waits for a value waits for it, or for one that took its place, and for no other', async () => {
  const writes: (() => void)[] = []
  const storeChange = (_: StoreChange, stored = () => {}) => void writes.push(stored)
  const registry = new LatestMeta({ storeChange }, 'registry')
  const told: string[] = []
  const wait = (name: string) => registry.written().then(() => told.push(name))
  await wait('nothing')
  registry.set(bytes('one'))
  const first = wait('one')
  registry.set(bytes('two'))
  const second = wait('two')
  registry.set(bytes('three'))
  writes[0]?.()
  await first
  expect(told).toEqual(['nothing', 'one'])
  writes[1]?.()
  await second
  expect(told).toEqual(['nothing', 'one', 'two'])
})
