// Goal: a write that fails is the end of the peer: it says so and exits, acks nothing of it, and what it had acked is there
// afterwards. Method: a limit for the size of files, so that the log of the database cannot grow at some moment.
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { eventually, ProcessPeer } from './process-peer.ts'
import { readAll } from './topic-contents.ts'

/** In blocks of 512 bytes, which is what POSIX has `ulimit` count in: 2 MiB. */
const limited = ['sh', '-c', 'ulimit -f 4096; exec "$@"', 'sh']

test('a failed write ends the peer with a word and a code, and takes back nothing that was acked', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'grapevine-failed-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  const data = join(directory, 'oak')
  await using oak = await ProcessPeer.start({ name: 'oak', data, within: limited })
  const acked: string[] = []
  const publishAll = async (): Promise<void> => {
    for (;;) {
      const body = randomBytes(30_000).toString('hex')
      const answer = await fetch(`${oak.http}/v1/topics/orders/records`, { method: 'POST', body })
      if (answer.status !== 201) return
      acked.push(((await answer.json()) as { id: string }).id)
    }
  }
  await Promise.allSettled([publishAll(), publishAll(), publishAll()])
  await eventually('it ends', async () => !oak.isRunning)
  expect(await oak.end('SIGTERM')).toBe(1)
  expect(oak.log).toContain('GRAPEVINE_STORAGE_FAILED')
  expect(acked.length).toBeGreaterThan(5)

  await using again = await ProcessPeer.start({ name: 'oak', data })
  const ids = new Set((await readAll(again, 'orders')).map((line) => line.split(' ', 1)[0]))
  expect(acked.filter((id) => !ids.has(id))).toEqual([])
  expect(again.log).not.toContain('damage')
})
