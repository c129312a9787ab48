import { posix } from 'node:path'

/** A tracked file as the rules see it; `path` is relative to the root of the repository, with slashes. */
export interface SourceFile {
  readonly path: string
  readonly text: string
}

export interface Violation {
  readonly path: string
  /** 1-based. */
  readonly line: number
  readonly message: string
}

/** A rule looks at one file; `exists` tells about the others. */
export type Rule = (file: SourceFile, exists: (path: string) => boolean) => readonly Violation[]

export const isTest = (path: string): boolean => path.endsWith('.test.ts')
export const isCode = (path: string): boolean => /\.(ts|tsx|js|mjs)$/.test(path)

export const lineAt = (text: string, index: number): number => text.slice(0, index).split('\n').length

/** One violation per match of a global pattern. */
export function everyMatch(
  file: SourceFile,
  options: { readonly pattern: RegExp; readonly text?: string; readonly message: (match: string) => string },
): Violation[] {
  const text = options.text ?? file.text
  return [...text.matchAll(options.pattern)].map((match) => ({
    path: file.path,
    line: lineAt(text, match.index),
    message: options.message(match[0].trim()),
  }))
}

const commentOrString = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g

/** The text with comments and plain strings blanked, line by line; templates stay, because code lives in them. */
export const codeOf = (text: string): string =>
  text.replace(commentOrString, (match) => (match.startsWith('`') ? match : match.replace(/[^\n]/g, ' ')))

const importLine = /^[ \t]*(?:import|export)\b(?:[^'";=]*?\bfrom)?\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm

export interface Import {
  /** As written: `./feed.ts`, `#protocol/ids`, `hono/streaming`, `node:fs`. */
  readonly specifier: string
  readonly line: number
}

export const importsOf = (text: string): readonly Import[] =>
  [...text.matchAll(importLine)].map((match) => ({
    specifier: match[1] ?? match[2] ?? '',
    line: lineAt(text, match.index + match[0].length),
  }))

/** The file that a specifier names, or undefined for a package. */
export function fileOf(importer: string, specifier: string): string | undefined {
  if (specifier.startsWith('#')) return `${specifier.slice(1)}.ts`
  if (specifier.startsWith('.')) return posix.join(posix.dirname(importer), specifier)
  return undefined
}

/** `@scope/name` or `name` of a package specifier; all of `node:` is one. */
export function packageOf(specifier: string): string {
  if (specifier.startsWith('node:')) return 'node:*'
  const [first = '', second = ''] = specifier.split('/')
  return first.startsWith('@') ? `${first}/${second}` : first
}
