import type { LevelDatabase, LevelIterator, LevelIteratorOptions } from './level-database.ts'

export type LevelEntry = readonly [key: Uint8Array, value: Uint8Array]

const entriesPerStep = 64

/**
 * The entries of a range of a database that may be damaged, some at a time, up to where it does not go on. It complains of
 * damage in place of the last entries that it could have given: those are asked for again one by one.
 *
 * `iterator`: one of that range, for who has made it before, because it sees what the database holds at that moment.
 */
export async function* scan(
  db: LevelDatabase,
  options: LevelIteratorOptions,
  iterator: LevelIterator = db.iterator(options),
): AsyncGenerator<readonly LevelEntry[]> {
  let last: Uint8Array | undefined
  for (let [current, size] = [iterator, entriesPerStep]; ; [current, size] = [db.iterator(beyond(last, options)), 1]) {
    try {
      for (;;) {
        const entries = await current.nextv(size).catch(() => undefined)
        if (entries === undefined) break
        if (entries.length === 0) return
        yield entries
        last = entries.at(-1)?.[0]
      }
    } finally {
      await current.close()
    }
    if (size === 1) return
  }
}

function beyond(key: Uint8Array | undefined, options: LevelIteratorOptions): LevelIteratorOptions {
  if (key === undefined) return options
  if (options.reverse !== true) return { ...options, gte: Uint8Array.of(...key, 0) }
  const { lte: _, ...others } = options
  return { ...others, lt: key }
}
