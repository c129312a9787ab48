import { readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { layersHold } from './layers.ts'
import { proofsExist } from './proofs.ts'
import { codeOf, everyMatch, isCode, isTest } from './source.ts'
import type { Rule } from './source.ts'

/** These files spell out what they forbid. */
const isTidy = (path: string): boolean => path.startsWith('test/tidy/')

const impure =
  /(?<![\w$.#])(?:Date|performance|setTimeout|setInterval|setImmediate|queueMicrotask|process|Promise|async|await)\b(?!\s*\??:)|\bMath\.random\b/g

/** `protocol/` decides as a function of its inputs alone (DESIGN §3). Packages are the business of the layers. */
export const protocolIsPure: Rule = (file) => {
  if (!file.path.startsWith('protocol/') || !isCode(file.path) || isTest(file.path)) return []
  const message = (match: string) => `protocol/ is pure: no ${match}`
  return everyMatch(file, { pattern: impure, text: codeOf(file.text), message })
}

const sleeping =
  /\bPromise\b[^;]{0,60}?\bsetTimeout\b|\bawait\s+[\w.]*(?:sleep|delay|setTimeout)\s*\(|\bscheduler\.wait\b|\bAtomics\.wait\b|\bsetTimeout\b[^}]*\}\s*from\s*'node:timers\/promises'/g

/** Tests about real time itself. */
const aboutTime: ReadonlySet<string> = new Set([
  // A reader that stalls for 10 s: what it costs in memory, not what comes after.
  'test/integration/stalled-reader.test.ts',
])

/** A test that sleeps is slow when it passes and wrong when the machine is busy. */
export const testsDoNotSleep: Rule = (file) => {
  if (!isTest(file.path) || isTidy(file.path) || aboutTime.has(file.path)) return []
  const message = (match: string) => `a test awaits a condition, it does not sleep: ${match}`
  return everyMatch(file, { pattern: sleeping, message })
}

/** `skipIf` with a reason stays possible: some suites need root or an engine. */
export const nothingIsSwitchedOff: Rule = (file) => {
  if (!isCode(file.path) || isTidy(file.path)) return []
  const pattern = /\b(?:test|it|describe|suite)(?:\.\w+)*\.(?:only|skip|todo|fails)\b/g
  return everyMatch(file, { pattern, message: (match) => `${match}: every test runs, or goes` })
}

export const marksHaveOwners: Rule = (file) => {
  if (file.path.endsWith('.md') || file.path.endsWith('.json') || isTidy(file.path)) return []
  const message = (match: string) => (match === 'TODO' ? 'a TODO needs an issue: TODO(#12)' : `no ${match} on main`)
  return everyMatch(file, { pattern: /\bFIXME\b|\bTODO\b(?!\(#\d+\))/g, message })
}

const markdownLink = /\]\(\s*<?([^)\s>#]+)(?:#[^)\s>]*)?>?[^)]*\)/g

export const linksLead: Rule = (file, exists) => {
  if (!file.path.endsWith('.md')) return []
  // Code is no prose: what looks like a link in a fence or in backticks is none.
  const prose = file.text.replace(/```[\s\S]*?```|`[^`\n]*`/g, (code) => code.replace(/[^\n]/g, ' '))
  const isDead = (link: string) =>
    !/^[a-z][a-z0-9+.-]*:/i.test(link) && !exists(posix.join(posix.dirname(file.path), decodeURI(link)))
  return everyMatch(file, { pattern: markdownLink, text: prose, message: (match) => match }).flatMap((found) => {
    const link = found.message.match(/\(\s*<?([^)\s>#]+)/)?.[1] ?? ''
    return isDead(link) ? [{ ...found, message: `dead link: ${link}` }] : []
  })
}

const machineBound =
  /(?<![\w.~:/-])\/(?:home|Users|work|root)\/[\w.-]+|"resolved": "[^"]*|\bhttps?:\/\/[\w.-]*(?:registry|artifactory|nexus|npm-proxy)[\w.-]*/g

/** Nothing in the repository is bound to the machine that it was written on. */
export const namesNoMachine: Rule = (file) =>
  isTidy(file.path)
    ? []
    : everyMatch(file, { pattern: machineBound, message: (match) => `bound to one machine: ${match}` })

const kebabCase = /^\.?[a-z0-9]+(?:[.-][a-z0-9]+)*$/
const namedByConvention = /^(?:[A-Z]+\.md|LICENSE|Dockerfile)$/

export const namesAreKebabCase: Rule = ({ path }) =>
  path.split('/').every((part) => kebabCase.test(part) || namedByConvention.test(part))
    ? []
    : [{ path, line: 1, message: 'names of files and folders are kebab-case' }]

const operations = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8')

/** Who watches logs relies on the names of events: each stands in `docs/operations.md`. */
export const eventsAreListed: Rule = (file) => {
  if (!file.path.startsWith('node/') || !isCode(file.path) || isTest(file.path)) return []
  const pattern = /\blog(?:\.(?:debug|info|warn|error))?\(\s*'[^']+'/g
  return everyMatch(file, { pattern, message: (match) => match }).flatMap((found) => {
    const event = /'([^']+)'/.exec(found.message)?.[1] ?? ''
    return operations.includes(`\`${event}\``) ? [] : [{ ...found, message: `not in docs/operations.md: ${event}` }]
  })
}

export const rules: Readonly<Record<string, Rule>> = {
  layersHold,
  protocolIsPure,
  testsDoNotSleep,
  nothingIsSwitchedOff,
  marksHaveOwners,
  linksLead,
  namesNoMachine,
  namesAreKebabCase,
  proofsExist,
  eventsAreListed,
}
