// A value that changes often, and a disk that takes its time.
import { expect, test } from 'vitest'
import type { MetaChange } from '#storage/feed-store'
import { LatestMeta } from './latest-meta.ts'

const bytes = (text: string) => new TextEncoder().encode(text)

test('while one write waits for the disk, only the newest value waits behind it', () => {
  const writes: { readonly text: string; readonly stored: () => void }[] = []
  const storeMeta = ([, value]: MetaChange, stored = () => {}) => {
    writes.push({ text: new TextDecoder().decode(value), stored })
  }
  const told: string[] = []
  const registry = new LatestMeta({ storeMeta }, 'registry')
  for (const text of ['one', 'two', 'three']) registry.set(bytes(text), () => told.push(text))
  expect(writes.map(({ text }) => text)).toEqual(['one'])
  writes[0]?.stored()
  expect(writes.map(({ text }) => text)).toEqual(['one', 'three'])
  writes[1]?.stored()
  registry.set(bytes('four'))
  expect(writes.map(({ text }) => text)).toEqual(['one', 'three', 'four'])
  expect(told).toEqual(['one', 'three'])
})
