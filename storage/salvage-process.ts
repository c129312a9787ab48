import { createHash } from 'node:crypto'
import { ClassicLevel } from 'classic-level'
import { SoundCopy } from './level-copy.ts'
import { crc32 } from 'node:zlib'

/**
 * Reads a damaged database in a process of its own, since LevelDB may abort it. It prints a line of JSON whenever it has got
 * further, and exits 0 at the end.
 *
 *   node salvage-process.ts examine <database>                          reads everything; exits 1 when LevelDB complains
 *   node salvage-process.ts repair <database>                           makes one that opens of the files that are left
 *   node salvage-process.ts copy <database> <copy> <parts to skip, JSON>
 */
const [command, path = '', copyPath = '', skip = '[]'] = process.argv.slice(2)

const views = { keyEncoding: 'view', valueEncoding: 'view' } as const
type Database = ClassicLevel<Uint8Array, Uint8Array>

const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`)

async function examine(): Promise<void> {
  const db: Database = new ClassicLevel(path, { ...views, createIfMissing: false })
  await db.open()
  let entries = 0
  for await (const _ of db.iterator({ highWaterMarkBytes: 1024 * 1024 })) {
    entries += 1
    if (entries % 1_000 === 0) say({ part: `entry ${entries}` })
  }
  await db.close()
}

async function copy(): Promise<void> {
  const source: Database = new ClassicLevel(path, { ...views, createIfMissing: false })
  const target: Database = new ClassicLevel(copyPath, views)
  await source.open()
  await target.open()
  const copying = new SoundCopy({
    source,
    target,
    digests: { crc32, sha256: (bytes) => createHash('sha256').update(bytes).digest() },
    skip: new Set(JSON.parse(skip) as string[]),
    onPart: (part) => say({ part }),
    metaKeys: ['registry', 'clock'],
  })
  await copying.run()
  await target.close()
  await source.close()
  say({ batches: copying.batches, bytes: copying.bytes })
}

if (command === 'examine') await examine()
else if (command === 'repair') await ClassicLevel.repair(path)
else if (command === 'copy') await copy()
else process.exitCode = 2
