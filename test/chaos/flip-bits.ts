import { open, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Dice } from '../sim/dice.ts'

export interface Flip {
  readonly file: string
  readonly byte: number
  readonly bit: number
}

/** Not what is stored: a lock, and the engine's diary. */
const isStored = (name: string): boolean => !/^(?:LOCK|LOG(?:\.old)?)$/.test(name)

/** How often a small file, such as a manifest, which hardly any bit of all belongs to, is not spared. */
const byFile = 0.25

/**
 * Changes single bits of the files that a store left in this directory, drawn from all bits there are, so that most of them
 * hit records; now and then one is of a file drawn first.
 */
export async function flipBits(directory: string, count: number, dice: Dice): Promise<readonly Flip[]> {
  const files = await filesIn(directory)
  if (files.length === 0) return []
  const flips = Array.from({ length: count }, () => anyBit(files, dice))
  if (count > 0 && dice.chance(byFile)) flips[0] = bitOf(dice.pick(files), dice)
  for (const flip of flips) await flipBit(flip)
  return flips
}

interface StoredFile {
  readonly file: string
  readonly bytes: number
}

async function filesIn(directory: string): Promise<readonly StoredFile[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const stored = entries.filter((entry) => entry.isFile() && isStored(entry.name))
  const paths = stored.map(({ parentPath, name }) => join(parentPath, name)).toSorted()
  const files = await Promise.all(paths.map(async (file) => ({ file, bytes: (await stat(file)).size })))
  return files.filter(({ bytes }) => bytes > 0)
}

function anyBit(files: readonly StoredFile[], dice: Dice): Flip {
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0)
  let byte = dice.whole(0, total - 1)
  for (const { file, bytes } of files) {
    if (byte < bytes) return { file, byte, bit: dice.whole(0, 7) }
    byte -= bytes
  }
  throw new Error('no byte beyond the last file was drawn')
}

const bitOf = ({ file, bytes }: StoredFile, dice: Dice): Flip => ({
  file,
  byte: dice.whole(0, bytes - 1),
  bit: dice.whole(0, 7),
})

async function flipBit({ file, byte, bit }: Flip): Promise<void> {
  const handle = await open(file, 'r+')
  try {
    const buffer = Buffer.alloc(1)
    await handle.read(buffer, 0, 1, byte)
    buffer[0] = (buffer[0] ?? 0) ^ (1 << bit)
    await handle.write(buffer, 0, 1, byte)
    await handle.sync()
  } finally {
    await handle.close()
  }
}
