// What a peer says while it runs, in its log and among its events.
import { expect, test } from 'vitest'
import type { PeerId } from '#protocol/ids'
import { membershipProfiles } from '#protocol/membership/config'
import { utf8 } from '#protocol/text'
import { MemoryStore } from '#storage/memory-store'
import type { PeerDriver } from './driver.ts'
import { MeshEvents } from './mesh-events.ts'
import type { PeerMetrics } from './metrics.ts'
import { newsOf } from './news.ts'
import { nodeDigests } from './node-digests.ts'
import { encodeRegistry } from './registry-codec.ts'
import { boot, still } from './test-broker.ts'

function teller() {
  const logged: unknown[] = []
  const line = (event: string, fields: object): void => void logged.push([event, fields])
  const events = new MeshEvents('00000000000000aa', still)
  const membership = { nameOf: (peer: PeerId): string => peer }
  const news = newsOf({
    config: {} as never,
    log: { debug: line, info: line, warn: line, error: line },
    metrics: { partition: () => {} } as unknown as PeerMetrics,
    events,
    driver: () => ({ peer: { membership } }) as unknown as PeerDriver,
    onMembers: () => {},
  })
  return { news, logged, told: () => events.read(0, 100) }
}

test('links are told, but not one that comes beyond those that are kept', async () => {
  const { news, logged, told } = teller()
  const names = ['oak', 'elm', 'ash'] as PeerId[]
  const facts = { addresses: [], http: '', zone: '', counter: 1 }
  const status = { type: 'member', generation: 0 } as const
  const members = names.map((peer) => ({ peer, facts: { ...facts, name: peer }, addresses: [], status }))
  const store = new MemoryStore(nodeDigests)
  await store.append([], [{ type: 'meta', key: 'registry', value: encodeRegistry(members) }])
  const membership = { ...membershipProfiles.local, linksMax: 1 }
  const { driver } = await boot(store, undefined, { membership, onLink: (link) => news.onLink?.(link) })
  driver.linkUp(1, names[1] as PeerId)
  driver.linkUp(2, names[2] as PeerId)
  driver.linkDown(2, 'broken', 'reset')
  expect(told().map(({ text }) => text)).toEqual(['link to elm is up', 'link to ash is down: reset'])
  expect(logged).toEqual([
    ['link up', { peer: 'elm', name: 'elm' }],
    ['link down', { peer: 'ash', name: 'ash', cause: 'broken', reason: 'reset' }],
  ])
})

test('a split is told by what has changed in it; after a heal from its beginning', () => {
  const { news, logged, told } = teller()
  const [oak, elm, ash] = ['oak', 'elm', 'ash'] as PeerId[] as [PeerId, PeerId, PeerId]
  const known = [oak, elm, ash]
  news.onPartition?.({ type: 'partitionChanged', reachable: [oak, elm], known })
  news.onPartition?.({ type: 'partitionChanged', reachable: [oak], known })
  news.onPartition?.({ type: 'partitionChanged', reachable: [oak, ash], known })
  news.onPartition?.({ type: 'partitionHealed', apartMs: 1_000, back: [elm, ash] })
  news.onPartition?.({ type: 'partitionChanged', reachable: [oak, ash], known })
  expect(told().map(({ text }) => text)).toEqual([
    'split: 2 of 3 can be reached; lost ash',
    'split: 1 of 3 can be reached; lost elm',
    'split: 2 of 3 can be reached; back ash',
    'healed after 1.0 s: ash, elm back',
    'split: 2 of 3 can be reached; lost elm',
  ])
  expect(logged[1]).toEqual(['partition', { reachable: 1, known: 3, away: 2, lost: ['elm'], back: [] }])
})

test('frames of one member with one fault are told once a minute', () => {
  const { news, logged, told } = teller()
  const [elm, ash] = ['elm', 'ash'] as PeerId[]
  for (let i = 0; i < 1_000; i++) for (const peer of [elm, ash]) news.onBadFrame?.(peer, `unknownType future${i}`)
  news.onBadFrame?.(elm, 'notJson')
  expect(told().map(({ peer, reason }) => [peer, reason])).toEqual([
    [elm, 'unknownType future0'],
    [ash, 'unknownType future0'],
    [elm, 'notJson'],
  ])
  expect(logged).toHaveLength(3)
})

test('a frame of a type that a newer version has is counted and skipped on both streams; any other is damage', async () => {
  const closed: string[] = []
  const transport = {
    dial() {},
    sendControl() {},
    sendData() {},
    close: (_: number, reason: string) => closed.push(reason),
  }
  const { driver } = await boot(new MemoryStore(nodeDigests), undefined, { transport })
  driver.linkUp(1, 'elm' as PeerId)
  driver.controlFrame(1, utf8('{"type":"future"}'))
  driver.dataFrame(1, Uint8Array.of(2, 0, 0))
  expect([closed, driver.badFrames.get('unknownType')]).toEqual([[], 2])
  driver.dataFrame(1, Uint8Array.of(1, 0, 0))
  expect(closed).toEqual(['it sent a frame that is not understood: truncated header'])
})
