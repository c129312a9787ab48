import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { textOf } from '#protocol/text'

/**
 * The number that LevelDB gives to the next file it makes, as its manifest says; undefined when that cannot be read. A file
 * with such a number or a higher one is unknown to it, and overwritten without a word.
 *
 * A manifest is a log of edits (LevelDB, doc/log_format.md, db/version_edit.cc). LevelDB takes one that is cut off for one
 * that ends there.
 */
export async function nextFileOf(database: string): Promise<number | undefined> {
  try {
    const current = textOf(await readFile(join(database, 'CURRENT'))) ?? ''
    const edits = recordsOf(await readFile(join(database, current.trim())))
    return edits.map(nextFileIn).findLast((number) => number !== undefined)
  } catch {
    return undefined
  }
}

const blockBytes = 32_768
const headerBytes = 7
const fragment = { full: 1, first: 2, middle: 3, last: 4 } as const

/** Blocks hold fragments: `crc32c u32 · length u16 · kind u8 · data`, little-endian. The end is where one is no fragment. */
function recordsOf(log: Buffer): readonly Buffer[] {
  const records: Buffer[] = []
  let parts: Buffer[] = []
  for (let at = 0; at + headerBytes <= log.length;) {
    const leftInBlock = blockBytes - (at % blockBytes)
    if (leftInBlock < headerBytes) {
      at += leftInBlock
      continue
    }
    const kind = log.readUInt8(at + 6)
    const end = at + headerBytes + log.readUInt16LE(at + 4)
    if (kind < fragment.full || kind > fragment.last || end > log.length) break
    if (kind === fragment.full || kind === fragment.first) parts = []
    parts.push(log.subarray(at + headerBytes, end))
    if (kind === fragment.full || kind === fragment.last) records.push(Buffer.concat(parts))
    at = end
  }
  return records
}

/** What follows each tag of an edit: numbers, and texts with their length before them. */
const fields: Readonly<Record<number, readonly ('number' | 'text')[]>> = {
  1: ['text'],
  2: ['number'],
  3: ['number'],
  4: ['number'],
  5: ['number', 'text'],
  6: ['number', 'number'],
  7: ['number', 'number', 'number', 'text', 'text'],
  9: ['number'],
}
const nextFileTag = 3

function nextFileIn(edit: Buffer): number | undefined {
  let at = 0
  const number = (): number => {
    let value = 0
    for (let factor = 1; ; factor *= 128) {
      const byte = edit.readUInt8(at++)
      value += (byte & 127) * factor
      if (byte < 128) return value
    }
  }
  let found: number | undefined
  while (at < edit.length) {
    const tag = number()
    for (const field of fields[tag] ?? []) {
      const value = number()
      if (field === 'text') at += value
      if (tag === nextFileTag) found = value
    }
    if (fields[tag] === undefined) return found
  }
  return found
}
