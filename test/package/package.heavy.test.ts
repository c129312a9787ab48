// Goal: who installs the package can import `grapevine/client`, with types. Method: it is packed, looked at by publint and attw, and
// used from a project of its own, which does not skip the check of its types.
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { checkPackage } from './check.ts'
import { packClient } from './stage.ts'

const run = promisify(execFile)
const tsc = fileURLToPath(new URL('../../node_modules/typescript/bin/tsc', import.meta.url))

const consumer = `
import { connect, MeshError, type ReceivedRecord } from 'grapevine/client'
const mesh = await connect({ servers: ['http://127.0.0.1:1'] }).catch((error: unknown) => {
  if (error instanceof MeshError && error.code === 'UNAVAILABLE') console.log(error.hint)
  return undefined
})
export const read = async (records: AsyncIterable<ReceivedRecord>): Promise<void> => {
  for await (const record of records) console.log(record.json<{ pears: number }>().pears)
}
if (mesh) await read(mesh.subscribe('orders', { from: 'earliest' }))
`

test('the package passes publint and attw, and a project of strict types compiles against it and runs', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'grapevine-package-'))
  try {
    const packed = await packClient(join(directory, 'stage'))
    expect(await checkPackage(packed)).toContain('All good!')
    const installed = join(directory, 'node_modules', 'grapevine')
    await mkdir(installed, { recursive: true })
    await run('tar', ['-xzf', packed, '--strip-components', '1', '-C', installed])
    await writeFile(join(directory, 'package.json'), '{"type":"module"}')
    await writeFile(join(directory, 'use.ts'), consumer)
    const options = [
      '--strict',
      '--module',
      'nodenext',
      '--target',
      'es2024',
      '--lib',
      'es2024,esnext.disposable,dom,dom.iterable',
    ]
    await run(process.execPath, [tsc, ...options, '--types', '', 'use.ts'], { cwd: directory })
    const { stdout } = await run(process.execPath, ['use.js'], { cwd: directory })
    expect(stdout).toContain('Is a peer running there')
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})
