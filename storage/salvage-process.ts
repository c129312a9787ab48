import { createHash } from 'node:crypto'
import { ClassicLevel } from 'classic-level'
import { SoundCopy } from './level-copy.ts'
import { LevelStore } from './level-store.ts'
import { readBatchHeader } from '#protocol/log/batch'
import { NOTHING } from '#protocol/log/feed'
import { crc32 } from 'node:zlib'

/**
 * Reads a damaged database in a process of its own, since LevelDB may abort it. It prints a line of JSON whenever it has got
 * further, and exits 0 at the end.
 *
 *   node salvage-process.ts examine <database> <cluster>                reads everything; exits 1 when LevelDB complains
 *   node salvage-process.ts repair <database>                           makes one that opens of the files that are left
 *   node salvage-process.ts copy <database> <copy> <parts to skip, JSON>
 */
const [command, path = '', ...more] = process.argv.slice(2)

const views = { keyEncoding: 'view', valueEncoding: 'view' } as const
const digests = { crc32, sha256: (bytes: Uint8Array) => createHash('sha256').update(bytes).digest() }
type Database = ClassicLevel<Uint8Array, Uint8Array>

const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`)

async function examine(cluster = ''): Promise<void> {
  // First, as the files are: whoever opens them changes them.
  await openAsStore(cluster)
  const db: Database = new ClassicLevel(path, { ...views, createIfMissing: false })
  await db.open()
  let entries = 0
  for await (const _ of db.iterator({ highWaterMarkBytes: 1024 * 1024 })) {
    entries += 1
    if (entries % 1_000 === 0) say({ part: `entry ${entries}` })
  }
  await db.close()
}

/** What reads in order may pass over what ends a store that looks for its feeds: it seeks, and begins to compact at once. */
async function openAsStore(cluster: string): Promise<void> {
  const db: Database = new ClassicLevel(path, { ...views, createIfMissing: false })
  await db.open()
  const onFailure = (error: unknown): never => {
    throw error
  }
  const store = await LevelStore.open({ db, digests, cluster, onWarning: () => {}, onFailure })
  for (const { feed, head } of await store.feeds()) {
    for (let position = NOTHING; position < head.nextOffset;) {
      const { batches, damaged } = await store.read(feed, position, 1024 * 1024)
      const header = batches.length === 0 ? undefined : readBatchHeader(batches.at(-1) as Uint8Array)
      const end = typeof header === 'object' ? header.nextOffset : damaged?.to
      if (end === undefined || end <= position) break
      say({ part: `offset ${end}` })
      position = end
    }
  }
  await store.close()
}

async function copy(copyPath = '', skip = '[]'): Promise<void> {
  const source: Database = new ClassicLevel(path, { ...views, createIfMissing: false })
  const target: Database = new ClassicLevel(copyPath, views)
  await source.open()
  await target.open()
  const copying = new SoundCopy({
    source,
    target,
    digests,
    skip: new Set(JSON.parse(skip) as string[]),
    onPart: (part) => say({ part }),
    metaKeys: ['registry', 'clock'],
  })
  await copying.run()
  await target.close()
  await source.close()
  say({ batches: copying.batches, bytes: copying.bytes })
}

if (command === 'examine') await examine(...more)
else if (command === 'repair') await ClassicLevel.repair(path)
else if (command === 'copy') await copy(...more)
else process.exitCode = 2
