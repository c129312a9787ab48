import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { clientBundle } from './bundle.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))

interface Manifest {
  readonly version: string
  readonly description: string
  readonly license: string
}

/**
 * Makes the package in this folder, and packs it: the library as one file, types by tsc, and a manifest. The manifest of the
 * repository is of a program that is run from its sources (ADR 0006). Returns the path of the packed file.
 */
export async function packClient(folder: string): Promise<string> {
  await rm(folder, { recursive: true, force: true })
  await mkdir(join(folder, 'client'), { recursive: true })
  const { version, description, license } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as Manifest
  const manifest = {
    name: 'grapevine',
    version,
    description,
    license,
    type: 'module',
    sideEffects: false,
    exports: {
      './client': { types: './types/client/index.d.ts', default: './client/client.js' },
      './package.json': './package.json',
    },
    files: ['client', 'types', 'README.md'],
    engines: { node: '>=22' },
  }
  await writeFile(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
  await writeFile(join(folder, 'client', 'client.js'), await clientBundle())
  await writeFile(join(folder, 'README.md'), await readFile(join(root, 'client', 'README.md')))
  await writeTypes(join(folder, 'types'))
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: folder })
  const [packed] = Object.values(JSON.parse(stdout) as Record<string, { readonly filename: string }>)
  return join(folder, packed?.filename ?? '')
}

async function writeTypes(folder: string): Promise<void> {
  const emit = ['--noEmit', 'false', '--declaration', '--emitDeclarationOnly', '--rootDir', root, '--outDir', folder]
  await run(process.execPath, [
    join(root, 'node_modules', 'typescript', 'bin', 'tsc'),
    '-p',
    join(root, 'client'),
    ...emit,
  ])
  // Only what the entry leads to.
  const seen = new Set<string>()
  const visit = async (file: string): Promise<void> => {
    if (seen.has(file)) return
    seen.add(file)
    const path = join(folder, `${file}.d.ts`)
    const text = await readFile(path, 'utf8')
    const found: string[] = []
    const written = text.replace(
      /(from |import\()'(#|\.\/)([\w/.-]+?)(?:\.ts)?'/g,
      (_, before: string, kind: string, name: string) => {
        const target = kind === '#' ? name : join(file, '..', name)
        found.push(target)
        const to = relative(join(file, '..'), target)
        return `${before}'${to.startsWith('.') ? to : `./${to}`}.js'`
      },
    )
    await writeFile(path, written)
    for (const target of found) await visit(target)
  }
  await visit('client/index')
  for (const entry of await readdir(folder, { recursive: true })) {
    if (entry.endsWith('.d.ts') && !seen.has(entry.replace(/\.d\.ts$/, ''))) await rm(join(folder, entry))
  }
}
