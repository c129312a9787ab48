// The rules of the house (DESIGN §2, CONTRIBUTING.md): one injected violation of each kind is reported, and the tree has none.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { rules } from './rules.ts'
import type { SourceFile, Violation } from './source.ts'

const root = join(import.meta.dirname, '../..')

/** Tracked files and new ones that are not ignored. */
function filesOfTheTree(): readonly SourceFile[] {
  const listing = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: root })
  const paths = [...new Set(listing.toString().split('\0'))].filter(
    (path) => path !== '' && existsSync(join(root, path)),
  )
  return paths.map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }))
}

const exists = (path: string): boolean => existsSync(join(root, path))
const report = (found: readonly Violation[]) => found.map(({ path, line, message }) => `${path}:${line}: ${message}`)
const reported = (rule: string, file: SourceFile): readonly string[] => report(rules[rule]?.(file, exists) ?? [])

describe('the tree', () => {
  const files = filesOfTheTree()

  test('is seen', () => {
    const paths = files.map(({ path }) => path)
    expect(paths).toEqual(expect.arrayContaining(['package.json', 'protocol/ids.ts', 'test/tidy/tidy.test.ts']))
  })

  test.each(Object.keys(rules))('%s', (rule) => {
    expect(files.flatMap((file) => reported(rule, file))).toEqual([])
  })
})

describe('an injected violation is reported', () => {
  const injected: readonly (readonly [rule: string, path: string, text: string, message: string])[] = [
    [
      'layersHold',
      'protocol/ids.ts',
      "import { b } from '#protocol/log/batch'",
      'protocol may not import protocol/log/batch.ts',
    ],
    [
      'layersHold',
      'protocol/log/feed.ts',
      "import { b } from 'lodash'",
      'protocol/log may not import the package lodash',
    ],
    ['layersHold', 'protocol/log/feed.ts', "import 'node:fs'", 'protocol/log may not import the package node:fs'],
    [
      'layersHold',
      'protocol/replication/replication.ts',
      "export type { A } from '#protocol/membership/messages'",
      'protocol/replication may not import protocol/membership/messages.ts',
    ],
    ['layersHold', 'protocol/log/feed.ts', "import { a } from '../ids.ts'", 'import protocol/ids.ts as #protocol/ids'],
    ['layersHold', 'gateway/app.ts', "import {\n  peer,\n} from '#node/peer'", 'gateway may not import node/peer.ts'],
    ['layersHold', 'gateway/app.ts', "import { l } from 'libp2p'", 'gateway may not import the package libp2p'],
    [
      'layersHold',
      'client/client.ts',
      "const fs = await import('node:fs')",
      'client may not import the package node:fs',
    ],
    ['layersHold', 'cli/pub.ts', "import { startPeer } from '#node/peer'", 'cli may not import node/peer.ts'],
    [
      'layersHold',
      'storage/level.ts',
      "import { a } from '#test/sim/world'",
      'storage may not import test/sim/world.ts',
    ],
    ['layersHold', 'storage/level.test.ts', "import { a } from '#node/peer'", 'storage may not import node/peer.ts'],
    [
      'layersHold',
      'client/mesh.ts',
      "import { a } from '#test/fake-gateway'",
      'client may not import test/fake-gateway.ts',
    ],
    ['protocolIsPure', 'protocol/log/clock.ts', 'const now = Date.now()', 'protocol/ is pure: no Date'],
    ['protocolIsPure', 'protocol/log/clock.ts', 'const die = Math.random()', 'protocol/ is pure: no Math.random'],
    ['protocolIsPure', 'protocol/log/clock.ts', 'setTimeout(() => tick(), 10)', 'protocol/ is pure: no setTimeout'],
    [
      'protocolIsPure',
      'protocol/log/clock.ts',
      'const wait = (p: Promise<void>) => p',
      'protocol/ is pure: no Promise',
    ],
    ['protocolIsPure', 'protocol/log/clock.ts', 'export const read = async () => 1', 'protocol/ is pure: no async'],
    [
      'testsDoNotSleep',
      'node/peer.test.ts',
      'await new Promise((r) => setTimeout(r, 100))',
      'a test awaits a condition, it does not sleep: Promise((r) => setTimeout',
    ],
    [
      'testsDoNotSleep',
      'node/peer.test.ts',
      'await sleep(100)',
      'a test awaits a condition, it does not sleep: await sleep(',
    ],
    [
      'testsDoNotSleep',
      'node/peer.test.ts',
      "import { setTimeout as pause } from 'node:timers/promises'",
      'a test awaits a condition, it does not sleep: setTimeout as pause',
    ],
    ['nothingIsSwitchedOff', 'node/peer.test.ts', "test.only('a', () => {})", 'test.only: every test runs, or goes'],
    [
      'nothingIsSwitchedOff',
      'node/peer.test.ts',
      "describe.each([1]).skip; describe.skip('a')",
      'describe.skip: every test runs, or goes',
    ],
    ['marksHaveOwners', 'node/peer.ts', '// FIXME later', 'no FIXME on main'],
    ['marksHaveOwners', 'node/peer.ts', '// TODO: later', 'a TODO needs an issue: TODO(#12)'],
    ['linksLead', 'docs/page.md', 'See [the code](../protocol/gone.ts#L1).', 'dead link: ../protocol/gone.ts'],
    ['namesNoMachine', 'docs/page.md', 'Run it in /home/oak/grapevine.', 'bound to one machine: /home/oak'],
    [
      'namesNoMachine',
      'package-lock.json',
      '"resolved": "https://mirror.example/a.tgz"',
      'bound to one machine: "resolved": "https://mirror.example/a.tgz',
    ],
    [
      'namesNoMachine',
      '.npmrc',
      'registry=https://registry.example.org/',
      'bound to one machine: https://registry.example.org',
    ],
    ['namesAreKebabCase', 'node/PeerDriver.ts', '', 'names of files and folders are kebab-case'],
    ['namesAreKebabCase', 'node/peer_driver.ts', '', 'names of files and folders are kebab-case'],
    ['proofsExist', 'docs/guarantees.md', 'Proof: `test/gone.test.ts`.', 'no such file: test/gone.test.ts'],
    ['proofsExist', 'docs/guarantees.md', 'Run `npm run gone -- --all`.', 'no such script: gone'],
    ['proofsExist', 'docs/guarantees.md', 'checkers `order` and `gone`;', 'no such checker: gone'],
    ['proofsExist', 'docs/guarantees.md', 'planted `reuse-epoch`,\n`gone`;', 'no such planted bug: gone'],
    ['eventsAreListed', 'node/news.ts', "log.info('all is well', {})", 'not in docs/operations.md: all is well'],
  ]

  test.each(injected)('%s: %s: %s', (rule, path, text, message) => {
    const found = reported(rule, { path, text })
    expect(found).toHaveLength(1)
    expect(found[0]).toContain(message)
  })

  test('each rule has one', () => {
    expect(new Set(injected.map(([rule]) => rule))).toEqual(new Set(Object.keys(rules)))
  })

  test('at its own line', () => {
    const found = reported('layersHold', {
      path: 'protocol/ids.ts',
      text: "\nimport type { A } from '@scope/a'\nimport './a.ts'\n",
    })
    expect(found).toEqual(['protocol/ids.ts:2: protocol may not import the package @scope/a'])
  })
})

describe('what is right is not reported', () => {
  const right: readonly (readonly [rule: string, path: string, text: string])[] = [
    [
      'layersHold',
      'protocol/peer/peer.ts',
      "import { a } from '#protocol/membership/membership'\nimport { b } from './b.ts'",
    ],
    ['layersHold', 'protocol/log/feed.test.ts', "import { test } from 'vitest'\nimport { crc32 } from 'node:zlib'"],
    ['layersHold', 'client/mesh.test.ts', "import { FakeGateway } from '#test/fake-gateway'"],
    ['layersHold', 'gateway/app.ts', "import { Hono } from 'hono'\nimport { serve } from '@hono/node-server'"],
    ['layersHold', 'cli/peer.ts', "import { startPeer } from '#node/peer'\nimport { options } from './options.ts'"],
    ['layersHold', 'test/sim/main.ts', "import { a } from '#node/peer'\nimport 'anything'"],
    ['protocolIsPure', 'protocol/log/clock.ts', "// Promise nothing: a Date is 'async'.\nconst text = 'await Date'"],
    ['layersHold', 'cli/main.ts', "const { peer } = await import('./peer.ts')"],
    ['layersHold', 'node/version.ts', "import text from '../package.json' with { type: 'json' }"],
    ['layersHold', 'gateway/server.ts', "import { createServer } from 'node:http'"],
    ['protocolIsPure', 'protocol/log/clock.test.ts', 'const now = Date.now()'],
    [
      'testsDoNotSleep',
      'node/peer.test.ts',
      'await eventually(() => peer.ready)\nnetwork.delay(20)\nexpect(() => setTimeout(stop, 1)).toThrow()',
    ],
    ['testsDoNotSleep', 'node/peer.test.ts', "import { setImmediate as turn } from 'node:timers/promises'"],
    ['testsDoNotSleep', 'test/integration/eventually.ts', 'setTimeout(poll, 20)'],
    ['nothingIsSwitchedOff', 'test/netns/loss.test.ts', "test.skipIf(!root)('needs root', () => {})"],
    ['marksHaveOwners', 'node/peer.ts', '// TODO(#12): say so'],
    ['linksLead', 'docs/page.md', '[a](../package.json) [b](https://example.org/x) [c](#here) `[d](gone.md)`'],
    ['namesNoMachine', 'docs/page.md', 'Go to https://example.org/home/oak or ./data/home/oak.'],
    ['namesAreKebabCase', 'docs/decisions/0001-sans-io-machines.md', ''],
    ['namesAreKebabCase', '.ci/run', ''],
    ['namesAreKebabCase', 'README.md', ''],
    [
      'proofsExist',
      'docs/guarantees.md',
      'Proof: checkers `order` and `views`; planted `reuse-epoch`,\n`ignore-credit`; `test/tidy/tidy.test.ts`, `npm run fuzz`.',
    ],
  ]

  test.each(right)('%s: %s: %s', (rule, path, text) => {
    expect(reported(rule, { path, text })).toEqual([])
  })
})
