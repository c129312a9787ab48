import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const command = (name: string): string => fileURLToPath(new URL(`../../node_modules/.bin/${name}`, import.meta.url))

/** What publint and attw say of a packed package. Rejects with it if they find fault. The package is of ES modules, and says so. */
export async function checkPackage(packed: string): Promise<string> {
  const said: string[] = []
  for (const [name, ...args] of [
    ['publint', 'run', packed, '--strict'],
    ['attw', packed, '--profile', 'esm-only', '--no-emoji'],
  ] as const) {
    try {
      said.push((await run(process.execPath, [command(name), ...args])).stdout)
    } catch (error) {
      const { stdout = '', stderr = '' } = error as { readonly stdout?: string; readonly stderr?: string }
      throw new Error(`${name} finds fault:\n${stdout}\n${stderr}`, { cause: error })
    }
  }
  return said.join('\n')
}
