import packageJson from '../../package.json' with { type: 'json' }
import { planted } from '../sim/planted/index.ts'
import { everyMatch } from './source.ts'
import type { Rule, SourceFile, Violation } from './source.ts'

const list = String.raw`(?:\s+\x60[a-z-]+\x60(?:,|\sand)?)+`

/** `docs/guarantees.md` names tests, commands, checkers and planted bugs: a promise without its proof is a claim. */
export const proofsExist: Rule = (file, exists) => {
  if (file.path !== 'docs/guarantees.md') return []
  const isPath = (name: string): boolean => exists(name)
  const isScript = (name: string): boolean => name in packageJson.scripts
  const isChecker = (name: string): boolean => exists(`test/sim/checkers/${name}.ts`)
  const isPlanted = (name: string): boolean => name in planted
  return [
    ...missing(file, /`((?:cli|client|gateway|node|protocol|storage|test)\/[^`\s]+)`/g, isPath, 'file'),
    ...missing(file, /`npm run ([a-z:-]+)/g, isScript, 'script'),
    ...missing(file, new RegExp(`checkers?${list}`, 'g'), isChecker, 'checker'),
    ...missing(file, new RegExp(`planted${list}`, 'g'), isPlanted, 'planted bug'),
  ]
}

/** A match names one thing, as its group, or several in backticks. */
function missing(
  file: SourceFile,
  pattern: RegExp,
  isThere: (name: string) => boolean,
  kind: string,
): readonly Violation[] {
  return everyMatch(file, { pattern, message: (match) => match }).flatMap(({ path, line, message: match }) => {
    const group = new RegExp(pattern.source).exec(match)?.[1]
    const names = group === undefined ? [...match.matchAll(/`([a-z-]+)`/g)].map(([, name]) => name as string) : [group]
    return names.filter((name) => !isThere(name)).map((name) => ({ path, line, message: `no such ${kind}: ${name}` }))
  })
}
