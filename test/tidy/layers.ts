import { fileOf, importsOf, isCode, isTest, packageOf } from './source.ts'
import type { Rule, Violation } from './source.ts'

/** One row of DESIGN §2, "Who may import whom". A folder may always import itself. */
interface Layer {
  readonly mayImport: readonly string[]
  /** Exact names, `@scope/*`, or `node:*`. */
  readonly packages: readonly string[]
}

const layer = (mayImport: readonly string[], packages: readonly string[] = []): Layer => ({ mayImport, packages })

const machines = [
  'protocol/log',
  'protocol/membership',
  'protocol/replication',
  'protocol/topics',
  'protocol/partitions',
  'protocol/groups',
]
const allOfProtocol = ['protocol', ...machines, 'protocol/wire', 'protocol/peer']
const publicProtocol = ['protocol', 'protocol/log', 'protocol/wire']

/** The longest key that a path begins with is its layer; `protocol` alone are the files at the root of that folder. */
export const layers: Readonly<Record<string, Layer>> = {
  protocol: layer([]),
  'protocol/log': layer(['protocol']),
  'protocol/membership': layer(['protocol']),
  'protocol/replication': layer(['protocol', 'protocol/log']),
  'protocol/topics': layer(['protocol', 'protocol/log']),
  'protocol/partitions': layer(['protocol', 'protocol/log']),
  'protocol/groups': layer(['protocol', 'protocol/log']),
  'protocol/wire': layer(['protocol', ...machines]),
  'protocol/peer': layer(allOfProtocol),
  storage: layer(['protocol', 'protocol/log'], ['classic-level', 'abstract-level', 'node:*']),
  gateway: layer(publicProtocol, ['hono', '@hono/*', 'jose', 'ws', 'zod']),
  client: layer(publicProtocol),
  lab: layer(['client', 'protocol'], ['yaml', 'zod', 'node:*']),
  cli: layer(['client', 'protocol', 'lab'], ['commander', 'node:*']),
  node: layer(
    [...allOfProtocol, 'storage', 'gateway'],
    ['libp2p', '@libp2p/*', '@multiformats/multiaddr', 'pino', 'prom-client', 'zod', 'node:*'],
  ),
}

/** Single files, or all below a path, that may import more than their folder, and why. */
const exceptions: Readonly<Record<string, Layer>> = {
  // Starts a peer, for `grapevine peer`; all other commands talk to one.
  'cli/peer.ts': layer(['node']),
  // Where the gateway meets Node; all else in it is a function from Request to Response.
  'gateway/server.ts': layer([], ['node:*']),
  'gateway/client-error.ts': layer([], ['node:*']),
  // What a socket and a request go through before there is anything for such a function.
  'gateway/intake': layer([], ['node:*']),
  // Says which version of the package this is.
  'node/version.ts': layer(['package.json']),
  // The tests that every engine has to pass, called from a test file of each.
  'storage/compliance': layer([], ['vitest']),
}

/** Undefined where anything goes: `test/` and configuration at the root. */
export function layerOf(path: string): string | undefined {
  const owners = Object.keys(layers).filter((folder) => isIn(folder, path))
  return owners.toSorted((a, b) => b.length - a.length)[0]
}

/**
 * Imports follow the table, and a line that crosses folders says so: `#folder/file`. A test beside the code may use any
 * package and the doubles of `test/`, but sees no more of the house than what it tests.
 */
export const layersHold: Rule = ({ path, text }) => {
  const own = layerOf(path)
  if (own === undefined || !isCode(path)) return []
  return importsOf(text).flatMap(({ specifier, line }): Violation[] => {
    const file = fileOf(path, specifier)
    const message = file === undefined ? packageFault(path, own, specifier) : fileFault(path, own, file)
    if (message !== undefined) return [{ path, line, message }]
    const crosses = file?.endsWith('.ts') === true && layerOf(file) !== own
    if (!crosses || specifier.startsWith('#')) return []
    return [{ path, line, message: `import ${file} as #${file.replace(/\.ts$/, '')}` }]
  })
}

function rowsOf(path: string, own: string): readonly Layer[] {
  const excepted = Object.entries(exceptions).flatMap(([key, row]) => (isIn(key, path) ? [row] : []))
  return [layers[own], ...excepted].filter((row) => row !== undefined)
}

const isIn = (owner: string, path: string): boolean => path === owner || path.startsWith(`${owner}/`)

function packageFault(path: string, own: string, specifier: string): string | undefined {
  const allowed = rowsOf(path, own).flatMap(({ packages }) => packages)
  if (isTest(path) || allowed.some((entry) => covers(entry, packageOf(specifier)))) return undefined
  return `${own} may not import the package ${specifier}`
}

function fileFault(path: string, own: string, file: string): string | undefined {
  const allowed = [own, ...rowsOf(path, own).flatMap(({ mayImport }) => mayImport)]
  if (allowed.includes(layerOf(file) ?? file) || (isTest(path) && isTestDouble(file))) return undefined
  return `${own} may not import ${file}`
}

/** What the tests of several folders share stands at the root of `test/`. */
const isTestDouble = (file: string): boolean => /^test\/[^/]+$/.test(file)

const covers = (entry: string, name: string): boolean =>
  entry === name || (entry.endsWith('/*') && name.startsWith(entry.slice(0, -1)))
