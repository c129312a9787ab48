import { spawn } from 'node:child_process'
import { buffer } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

export interface Ran {
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
}

const root = fileURLToPath(new URL('..', import.meta.url))

/** Runs a program at the root of the repository to its end. Rejects only if there is no such program. */
export function run(
  command: readonly string[],
  options: { readonly input?: string; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<Ran> {
  const { promise, resolve, reject } = Promise.withResolvers<Ran>()
  const [program = '', ...args] = command
  const child = spawn(program, args, { cwd: root, env: { ...process.env, ...options.env } })
  const texts = Promise.all([child.stdout, child.stderr].map(async (stream) => (await buffer(stream)).toString()))
  child.on('error', reject)
  child.on('close', (exitCode) => {
    void texts.then(([stdout = '', stderr = '']) => resolve({ exitCode, stdout, stderr }))
  })
  child.stdin.on('error', () => undefined)
  child.stdin.end(options.input ?? '')
  return promise
}

/** What it printed. Throws what it complained about if it failed. */
export async function outputOf(...[command, options]: Parameters<typeof run>): Promise<string> {
  const { exitCode, stdout, stderr } = await run(command, options)
  if (exitCode === 0) return stdout.trim()
  throw new Error(`${command.join(' ')} ended with ${exitCode}:\n${stderr.trim().slice(-2_000)}`)
}

export const docker = (...args: readonly string[]): Promise<string> => outputOf(['docker', ...args])

/** `docker compose` where there is one, or the docker-compose that came before it. */
export async function composeCommand(): Promise<readonly string[]> {
  const { exitCode } = await run(['docker', 'compose', 'version'])
  return exitCode === 0 ? ['docker', 'compose'] : ['docker-compose']
}
