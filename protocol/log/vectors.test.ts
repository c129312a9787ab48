// Goal: the bytes of the formats never change unnoticed. Method: examples with their hex, both ways, the README's included.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { bytesOfHex, hexOf } from '#protocol/text'
import type { BatchHeader } from './batch.ts'
import { encodeBatch, encodeOpeningBatch, openingOf, readBatchHeader, recordsOf, verifyBatch } from './batch.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import { pureDigests } from './pure-digests.ts'
import { decodeRecords, encodeRecords } from './record.ts'
import { batchVector, cursorVector, openingVectors, recordVectors } from './vectors.ts'
import { writerHashOf } from './version-vector.ts'

const bytesOf = (hex: string): Uint8Array => bytesOfHex(hex) as Uint8Array
const readme = readFileSync(new URL('README.md', import.meta.url), 'utf8').replaceAll(/\s/g, '')

test.each(recordVectors)('record: $name', ({ record, hex }) => {
  expect(hexOf(encodeRecords([record]).bytes)).toBe(hex)
  expect(decodeRecords(bytesOf(hex), 1)).toEqual([record])
})

test.each(openingVectors)('opening batch: $name', ({ opening, hlc, hex, hash }) => {
  const { bytes, head } = encodeOpeningBatch(opening, hlc, pureDigests)
  expect(hexOf(bytes)).toBe(hex)
  expect(head).toEqual({ nextOffset: opening.predecessor?.nextOffset ?? 0, hash })
  expect(verifyBatch(bytesOf(hex), pureDigests)).toBeUndefined()
  expect(openingOf(bytesOf(hex))).toEqual(opening)
})

describe(`batch: ${batchVector.name}`, () => {
  const previousHash = openingVectors[0]!.hash
  const records = recordVectors.map(({ record }) => record)

  test('is encoded like that', () => {
    const recordSets = [encodeRecords(records)]
    const encoded = encodeBatch({ baseOffset: 0, hlc: batchVector.hlc, previousHash, recordSets }, pureDigests)
    expect(hexOf(encoded.bytes)).toBe(batchVector.hex)
    expect(encoded.head).toEqual({ nextOffset: 2, hash: batchVector.hash })
  })

  test('is decoded again', () => {
    const bytes = bytesOf(batchVector.hex)
    expect(verifyBatch(bytes, pureDigests)).toBeUndefined()
    const header = readBatchHeader(bytes) as BatchHeader
    expect(header).toMatchObject({ baseOffset: 0, count: 2, nextOffset: 2, hlc: batchVector.hlc, previousHash })
    expect(recordsOf(bytes, header)).toEqual(records)
  })
})

test('the second opening names the end of the first run', () => {
  expect(openingVectors[1]!.opening.predecessor).toMatchObject({ nextOffset: 2, hash: batchVector.hash })
})

test(`cursor: ${cursorVector.name}`, () => {
  const { state, text } = cursorVector
  expect(encodeCursor(state, pureDigests)).toBe(text)
  expect(decodeCursor(text, state.topicId, pureDigests)).toEqual(state)
  const { writer } = openingVectors[0]!.opening
  const hashPrefix = openingVectors[0]!.hash.slice(0, 8)
  expect(state.entries).toMatchObject([{ writer: writerHashOf(writer, pureDigests), hashPrefix }])
})

test('the README shows the same examples', () => {
  const shown = [...recordVectors, ...openingVectors, batchVector].map(({ hex }) => hex)
  for (const example of [...shown, cursorVector.text]) expect(readme).toContain(example)
})
