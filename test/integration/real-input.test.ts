// Goal: a real text comes out of every peer as it went in. Method: all lines, empty ones too, of the README.md files below
// node_modules, a third to each of three peers at once with the command that people use; read back at each, sorted, hashed.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { buffer, text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { cli, eventually, type ProcessPeer, startMesh } from './process-peer.ts'
import { isConverged } from './topic-contents.ts'

let directory = ''
let peers: ProcessPeer[] = []

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'grapevine-real-input-'))
  peers = await startMesh(directory, ['oak', 'elm', 'ash'])
})

afterAll(async () => {
  for (const one of peers) await one[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

/** Runs the command to its end: what it printed. Rejects when it fails. */
async function grapevine(args: readonly string[], input = ''): Promise<Buffer> {
  const child = spawn(process.execPath, [cli, ...args], { stdio: 'pipe' })
  const ended = once(child, 'close') as Promise<[number | null]>
  child.stdin.end(input)
  const [out, complaint, [code]] = await Promise.all([buffer(child.stdout), text(child.stderr), ended])
  if (code !== 0) throw new Error(`grapevine ${args.join(' ')} ended with ${code}: ${complaint}`)
  return out
}

/** Newlines alone end lines, and the last line of a file does so whether it has one or not. */
async function linesOfReadmes(): Promise<string[]> {
  const root = fileURLToPath(new URL('../../node_modules', import.meta.url))
  const paths = await readdir(root, { recursive: true })
  const readmes = paths.filter((path) => basename(path) === 'README.md').toSorted()
  const texts = await Promise.all(readmes.map((path) => readFile(join(root, path), 'utf8')))
  return texts.flatMap((one) => one.replace(/\n$/, '').split('\n'))
}

const sortedHash = (lines: readonly string[]): string =>
  createHash('sha256').update(lines.toSorted().join('\n')).digest('hex')

test('all lines of many READMEs, a third published at each peer, are read at each peer', async () => {
  const lines = await linesOfReadmes()
  expect(lines.length).toBeGreaterThanOrEqual(20_000)
  expect(lines).toContain('')
  const third = Math.ceil(lines.length / 3)
  const parts = [lines.slice(0, third), lines.slice(third, 2 * third), lines.slice(2 * third)]
  const publish = ({ http }: ProcessPeer, i: number) =>
    grapevine(['pub', 'readmes', '--lines', '--server', http], (parts[i] ?? []).map((line) => `${line}\n`).join(''))
  await Promise.all(peers.map(publish))
  await eventually('all three hold the same', () => isConverged(peers, 'readmes'))
  const flags = ['--from', 'earliest', '--until-caught-up', '-o', 'value']
  for (const { name, http } of peers) {
    const printed = (await grapevine(['sub', 'readmes', ...flags, '--server', http])).toString('utf8')
    const read = printed.split('\n').slice(0, -1)
    expect({ name, lines: read.length, hash: sortedHash(read) }).toEqual({
      name,
      lines: lines.length,
      hash: sortedHash(lines),
    })
  }
})
