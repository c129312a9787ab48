import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { isApart } from '#lab/netns/namespaces'
import { lacksForSandbox, spawnApart } from '#lab/netns/sandbox'

const directoryVariable = 'GRAPEVINE_CHAOS_DIRECTORY'

export interface RoomOptions {
  /** Where data and logs go, and stay; undefined: to a directory that is gone afterwards. */
  readonly keep: string | undefined
}

/**
 * Runs this program again in a sandbox, with a directory of its own, and clears up both whatever way it ends. `run` says
 * what the program exits with. Where there can be no sandbox it is skipped, with a word.
 */
export async function inRoom(what: string, { keep }: RoomOptions, run: (directory: string) => Promise<number>) {
  if (isApart) {
    process.exitCode = await run(process.env[directoryVariable] as string)
    return
  }
  const lack = lacksForSandbox()
  if (lack !== undefined) return console.warn(`${what}: skipped. It needs ${lack}`)
  if (keep !== undefined) mkdirSync(keep, { recursive: true })
  const directory = keep ?? mkdtempSync(join(tmpdir(), `grapevine-${what}-`))
  process.env[directoryVariable] = directory
  const child = spawnApart([process.execPath, ...process.argv.slice(1)])
  child.once('exit', (code) => {
    if (keep === undefined) rmSync(directory, { recursive: true, force: true })
    process.exitCode = code ?? 1
  })
}

export const commit = (): string => execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()

export const seedOf = (text: string | undefined): number => Number(text ?? Math.floor(Math.random() * 2 ** 31))

export function writeReport(file: string, report: object): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, `${JSON.stringify(report, undefined, 2)}\n`)
}
