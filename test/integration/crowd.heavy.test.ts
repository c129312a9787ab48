// Many processes behind one address: all have a full view, two that dial each other at once settle on one link, and with few
// links each they still converge. What it measured is printed: `CROWD=40 npx vitest run --project heavy crowd`.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { linksOf, startCrowd } from './crowd.ts'
import { eventually, type ProcessPeer } from './process-peer.ts'

/** Forty take two processors to themselves for minutes. */
const count = Number(process.env['CROWD'] ?? 14)
const linksMax = Math.ceil(count / 5)

async function crowd(things: AsyncDisposableStack, flags: readonly string[]): ReturnType<typeof startCrowd> {
  const directory = await mkdtemp(join(tmpdir(), 'grapevine-crowd-'))
  things.defer(() => rm(directory, { recursive: true, force: true }))
  return startCrowd(count, { directory, flags, things })
}

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`

const allLinks = (peers: readonly ProcessPeer[]): ReturnType<typeof linksOf>[] => peers.map((peer) => linksOf(peer))

test('all have a full view, and one link with each other', async () => {
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

test('with few links each they converge, and a record reaches its home from any of them', async () => {
  await using things = new AsyncDisposableStack()
  const { peers, startedMs, fullViewMs } = await crowd(things, ['--links-max', String(linksMax)])
  console.log(
    `${count} peers with ${linksMax} links: all started after ${seconds(startedMs)}, full view after ${seconds(fullViewMs)}`,
  )
  await eventually(
    'links are few',
    async () => {
      const links = await Promise.all(allLinks(peers))
      return links.reduce((sum, { up }) => sum + up, 0) / count < 2 * linksMax + 2
    },
    60_000,
  )
  const times: number[] = []
  for (const [index, peer] of peers.entries()) {
    const startMs = performance.now()
    const ack = await peer.client.publish(`orders.${index % 7}`, `from ${peer.name}`, { ack: 'all', wait: '60s' })
    times.push(performance.now() - startMs)
    expect(ack).toMatchObject({ reached: true, copies: expect.toSatisfy((copies: number) => copies >= 3) })
  }
  console.log(`ack=all at ${count} peers, one after the other: ${seconds(Math.max(...times))} at most`)
})
