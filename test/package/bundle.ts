import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { type Plugin, rolldown } from 'rolldown'
import { limits } from '#protocol/limits'

/** DESIGN §12: what a page loads. */
export const bundleGzipBytesMax = 15 * 1024

/** The client library as one file, the same for Node and browsers. */
export async function clientBundle(): Promise<string> {
  await using bundle = await rolldown({
    input: fileURLToPath(new URL('../../client/index.ts', import.meta.url)),
    plugins: [numbersOfLimits, textsOfPeers, noAsserts],
    // The only one is that bounds are held against each other, which our own tests do.
    treeshake: { moduleSideEffects: false },
  })
  const { output } = await bundle.generate({ format: 'es', minify: true })
  return output[0].code
}

export const gzipBytes = (text: string): number => gzipSync(text, { level: 9 }).length

/** A bound as its number: of some hundred a client needs ten. */
const numbersOfLimits: Plugin = {
  name: 'numbers of limits',
  transform(code, id) {
    if (id.endsWith('/protocol/limits.ts')) return null
    return code.replace(/\blimits\.(\w+)/g, (found, name: string) => {
      return name in limits ? String(limits[name as keyof typeof limits]) : found
    })
  },
}

/** Errors that a client finds by itself. The others come with their words, in the problem document of a peer. */
const ownCodes: ReadonlySet<string> = new Set([
  'BAD_REQUEST',
  'BODY_TOO_LARGE',
  'RECORD_TOO_LARGE',
  'CURSOR_INVALID',
  'UNAVAILABLE',
  'OUTCOME_UNKNOWN',
  'OUTBOX_FULL',
  'INTERNAL',
])

const text = String.raw`(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")`
const entry = new RegExp(String.raw`^  ([A-Z_]+): kind\(\s*(\d+),\s*${text},\s*${text}(,\s*true)?,?\s*\),$`, 'gm')

const textsOfPeers: Plugin = {
  name: 'texts of peers',
  transform(code, id) {
    if (!id.endsWith('/protocol/errors.ts')) return null
    return code.replace(entry, (found, name: string, status: string, retryable: string | undefined) => {
      if (ownCodes.has(name)) return found
      // Those never leave the process that has them.
      if (status === '0') return ''
      return retryable === undefined ? `${name}: kind(${status}),` : `${name}: kind(${status}, '', '', true),`
    })
  },
}

/** Of our own mistakes, which tests look for. */
const noAsserts: Plugin = {
  name: 'no asserts',
  transform: (code) => code.replace(/^\s*assert\((?:.*\)|\n[^]*?^\))$/gm, ''),
}
