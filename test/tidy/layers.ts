import { fileOf, importsOf, isCode, isTest, packageOf } from './source.ts'
import type { Rule, Violation } from './source.ts'

/** One row of DESIGN §2, "Who may import whom". A folder may always import itself. */
interface Layer {
  readonly mayImport: readonly string[]
  /** Exact names, `@scope/*`, or `node:*`. */
  readonly packages: readonly string[]
}

const layer = (mayImport: readonly string[], packages: readonly string[] = []): Layer => ({ mayImport, packages })

const machines = ['protocol/log', 'protocol/membership', 'protocol/replication', 'protocol/groups']
const allOfProtocol = ['protocol', ...machines, 'protocol/wire', 'protocol/peer']
const publicProtocol = ['protocol', 'protocol/log', 'protocol/wire']

/** The longest key that a path begins with is its layer; `protocol` alone are the files at the root of that folder. */
export const layers: Readonly<Record<string, Layer>> = {
  protocol: layer([]),
  'protocol/log': layer(['protocol']),
  'protocol/membership': layer(['protocol']),
  'protocol/replication': layer(['protocol', 'protocol/log']),
  'protocol/groups': layer(['protocol', 'protocol/log']),
  'protocol/wire': layer(['protocol', ...machines]),
  'protocol/peer': layer(allOfProtocol),
  storage: layer(['protocol', 'protocol/log'], ['classic-level', 'abstract-level', 'node:*']),
  gateway: layer(publicProtocol, ['hono', '@hono/*', 'ws', 'zod']),
  client: layer(publicProtocol),
  cli: layer(['client', 'protocol'], ['commander', 'node:*']),
  // Alone in starting a peer, for `grapevine peer`.
  'cli/peer.ts': layer(['cli', 'node', 'protocol'], ['commander', 'node:*']),
  node: layer(
    [...allOfProtocol, 'storage', 'gateway'],
    ['libp2p', '@libp2p/*', '@multiformats/multiaddr', 'pino', 'zod', 'node:*'],
  ),
}

/** Undefined where anything goes: `test/` and configuration at the root. */
export function layerOf(path: string): string | undefined {
  const owners = Object.keys(layers).filter((folder) => path === folder || path.startsWith(`${folder}/`))
  return owners.toSorted((a, b) => b.length - a.length)[0]
}

/**
 * Imports follow the table, and a line that crosses folders says so: `#folder/file`. A test beside the code may use any
 * package, but sees no more of the house than what it tests.
 */
export const layersHold: Rule = ({ path, text }) => {
  const own = layerOf(path)
  if (own === undefined || !isCode(path)) return []
  return importsOf(text).flatMap(({ specifier, line }): Violation[] => {
    const message = forbidden(path, own, specifier)
    return message === undefined ? [] : [{ path, line, message }]
  })
}

function forbidden(path: string, own: string, specifier: string): string | undefined {
  const allowed = layers[own] ?? layer([])
  const file = fileOf(path, specifier)
  if (file === undefined) {
    if (isTest(path) || allowed.packages.some((entry) => covers(entry, packageOf(specifier)))) return undefined
    return `${own} may not import the package ${specifier}`
  }
  const other = layerOf(file)
  if (other === own || (isTest(path) && isTestDouble(file))) return undefined
  if (other === undefined || !allowed.mayImport.includes(other)) return `${own} may not import ${file}`
  return specifier.startsWith('.') && !inOneFolder(own, other)
    ? `import ${file} as #${file.replace(/\.ts$/, '')}`
    : undefined
}

/** What several folders' tests share stands at the root of `test/`. */
const isTestDouble = (file: string): boolean => /^test\/[^/]+$/.test(file)

const covers = (entry: string, name: string): boolean =>
  entry === name || (entry.endsWith('/*') && name.startsWith(entry.slice(0, -1)))

/** A file that is a layer of its own still lives in its folder. */
const inOneFolder = (own: string, other: string): boolean => own.endsWith('.ts') && own.startsWith(`${other}/`)
