// A disk of 1 GiB, of which 256 MiB are kept free, and a clock that is advanced by hand.
import { expect, test } from 'vitest'
import { DiskSpace, type Space } from './disk-space.ts'

const MiB = 1024 * 1024
const totalBytes = 1024 * MiB

async function watched(freeMiB: number) {
  const world = { free: freeMiB as number | undefined, pending: 0, reclaims: 0 }
  const told: string[] = []
  const timers: (() => void)[] = []
  const disk = new DiskSpace({
    space: async (): Promise<Space | undefined> => {
      return world.free === undefined ? undefined : { totalBytes, freeBytes: world.free * MiB }
    },
    clock: { after: (ms, run) => void timers.push(ms === 1_000 ? run : () => expect.unreachable()) },
    pendingBytes: () => world.pending * MiB,
    onChange: (full) => void told.push(full ? 'full' : 'room'),
    reclaim: async () => void world.reclaims++,
  })
  await disk.start()
  const second = async (): Promise<void> => {
    timers.shift()?.()
    for (let turn = 0; turn < 8; turn++) await Promise.resolve()
  }
  return { disk, world, told, timers, second }
}

test('it is full once less than the reserve is free, until a quarter more than that is free for three seconds', async () => {
  const { disk, world, told, second } = await watched(300)
  expect(told).toEqual([])
  world.free = 255
  await second()
  expect([told, disk.isFull]).toEqual([['full'], true])
  for (const free of [256, 300, 319]) {
    world.free = free
    await second()
  }
  expect(told).toEqual(['full'])
  for (const free of [320, 320, 319, 320, 320]) {
    world.free = free
    await second()
  }
  expect(told).toEqual(['full'])
  await second()
  expect([told, disk.isFull]).toEqual([['full', 'room'], false])
})

test('a disk that is full from the start is told at once', async () => {
  expect((await watched(10)).told).toEqual(['full'])
})

test('what is written counts twice until the next look, and what waits to be written likewise', async () => {
  const { disk, world, told, second } = await watched(300)
  disk.committed(10 * MiB)
  world.pending = 12
  disk.committed(0)
  expect(told).toEqual([])
  disk.committed(1 * MiB)
  expect(told).toEqual(['full'])
  world.pending = 0
  world.free = 400
  for (let i = 0; i < 3; i++) await second()
  expect(told).toEqual(['full', 'room'])
  disk.committed(71 * MiB)
  expect(told).toEqual(['full', 'room'])
  disk.committed(2 * MiB)
  expect(told).toEqual(['full', 'room', 'full'])
})

test('while it is full, what was deleted is given back at once and then every minute', async () => {
  const { world, second } = await watched(10)
  expect(world.reclaims).toBe(1)
  for (let i = 0; i < 59; i++) await second()
  expect(world.reclaims).toBe(1)
  await second()
  expect(world.reclaims).toBe(2)
})

test('a system that does not say changes nothing, and a peer that stops asks no more', async () => {
  const { disk, world, told, timers, second } = await watched(10)
  world.free = undefined
  await second()
  disk.committed(1)
  expect(told).toEqual(['full'])
  world.free = 900
  for (let i = 0; i < 3; i++) await second()
  expect(told).toEqual(['full', 'room'])
  disk.stop()
  await second()
  expect(timers).toEqual([])
})
