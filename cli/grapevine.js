#!/usr/bin/env node
// Plain JavaScript that an old Node can read, too: it checks the version before anything that needs a newer one is
// loaded. Where npm has put a newer Node beside the package, that one runs instead.
import { spawn, spawnSync } from 'node:child_process'
import * as modules from 'node:module'
import { fileURLToPath } from 'node:url'

const majorNeeded = 24
const majorOf = (version) => Number(/^v?(\d+)/.exec(version)?.[1] ?? 0)

if (majorOf(process.versions.node) >= majorNeeded) {
  // Half of a start is spent on reading TypeScript: what was read once is kept in the temporary directory of this user.
  modules.enableCompileCache()
  const { main } = await import('./main.ts')
  await main()
} else {
  const newerNode = fileURLToPath(new URL('../node_modules/.bin/node', import.meta.url))
  const answer = spawnSync(newerNode, ['--version'], { encoding: 'utf8' })
  if (majorOf(answer.stdout ?? '') >= majorNeeded) runWith(newerNode)
  else refuse()
}

function runWith(node) {
  // The channel tells the child when this process is gone, even by kill -9.
  const stdio = ['inherit', 'inherit', 'inherit', 'ipc']
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code)
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
}

function refuse() {
  console.error(
    `GRAPEVINE_NODE_TOO_OLD: Node.js ${process.versions.node} is too old. Grapevine needs Node ${majorNeeded} or newer. ` +
      `Use npm start or npx, which bring their own, or install Node ${majorNeeded}.`,
  )
  process.exitCode = 1
}
