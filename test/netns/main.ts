import { spawn } from 'node:child_process'
import { lacksForSandbox, spawnApart } from '#lab/netns/sandbox'

/** Runs the suite in a sandbox: `npm run test:netns [-- arguments of vitest]`. */
const vitest = ['vitest', 'run', '--project', 'netns', ...process.argv.slice(2)]
const lack = lacksForSandbox()
if (lack !== undefined) console.warn(`netns: all skipped. They need ${lack}`)
const [program = '', ...args] = vitest
const child = lack === undefined ? spawnApart(vitest) : spawn(program, args, { stdio: 'inherit' })
child.once('exit', (code) => {
  process.exitCode = code ?? 1
})
