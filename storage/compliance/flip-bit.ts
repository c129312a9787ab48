import type { LevelDatabase } from '../level-database.ts'

/** Flips a bit of the first value that has these bytes: a batch, of which its opening has a second copy further on. */
export async function flipBitOf(db: LevelDatabase, bytes: Uint8Array): Promise<void> {
  for await (const [key, value] of db.iterator({ gte: Uint8Array.of(0), lte: Uint8Array.of(255) })) {
    if (Buffer.compare(value, bytes) !== 0) continue
    const damaged = Uint8Array.from(value)
    damaged[40] = (damaged[40] ?? 0) ^ 1
    return db.batch([{ type: 'put', key, value: damaged }], { sync: false })
  }
}
