// Forty processes behind one address: all have a full view, two that dial each other at once settle on one link, and with few
// links each they still converge. The aim is a full view in 30 s, where nothing else runs. What it measured is printed:
// `npx vitest run --project heavy forty-peers`.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { linksOf, startCrowd } from './crowd.ts'
import { eventually, type ProcessPeer } from './process-peer.ts'

const count = 40

async function crowd(things: AsyncDisposableStack, flags: readonly string[]): ReturnType<typeof startCrowd> {
  const directory = await mkdtemp(join(tmpdir(), 'grapevine-crowd-'))
  things.defer(() => rm(directory, { recursive: true, force: true }))
  return startCrowd(count, { directory, flags, things })
}

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`

const allLinks = (peers: readonly ProcessPeer[]): ReturnType<typeof linksOf>[] => peers.map((peer) => linksOf(peer))

test('forty peers have a full view, and one link with each other', async () => {
  await using things = new AsyncDisposableStack()
  const { peers, startedMs, fullViewMs } = await crowd(things, [])
  console.log(`${count} peers: all started after ${seconds(startedMs)}, full view after ${seconds(fullViewMs)}`)
  await eventually(
    'all are linked with all',
    async () => {
      const links = await Promise.all(allLinks(peers))
      return links.every(({ up }) => up === count - 1)
    },
    240_000,
  )
  const links = await Promise.all(allLinks(peers))
  const opened = links.reduce((sum, link) => sum + link.opened, 0)
  console.log(`${opened / 2} links came up for ${(count * (count - 1)) / 2} pairs`)
  // Where handshakes take long, some of them come up twice.
  expect(opened).toBeLessThan(count * (count - 1) * 1.5)
})

test('with eight links each they converge, and a record reaches its home from any of them', async () => {
  await using things = new AsyncDisposableStack()
  const { peers, startedMs, fullViewMs } = await crowd(things, ['--links-max', '8'])
  console.log(
    `${count} peers with 8 links: all started after ${seconds(startedMs)}, full view after ${seconds(fullViewMs)}`,
  )
  await eventually(
    'links are few',
    async () => {
      const links = await Promise.all(allLinks(peers))
      return links.reduce((sum, { up }) => sum + up, 0) / count < 16
    },
    60_000,
  )
  const times: number[] = []
  for (const [index, peer] of peers.entries()) {
    const startMs = performance.now()
    const ack = await peer.client.publish(`orders.${index % 7}`, `from ${peer.name}`, { ack: 'all', wait: '10s' })
    times.push(performance.now() - startMs)
    expect(ack).toMatchObject({ reached: true, copies: expect.toSatisfy((copies: number) => copies >= 3) })
  }
  console.log(`ack=all at ${count} peers, one after the other: ${seconds(Math.max(...times))} at most`)
})
