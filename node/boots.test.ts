// The note of boots: in order, bounded, and nothing on a disk that has none or where it is damaged.
import { expect, test } from 'vitest'
import type { Epoch } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { bootNoted, readBoots } from './boots.ts'

const epochOf = (boot: number): Epoch => boot.toString(16).padStart(16, '0') as Epoch
const onDisk = (value: Uint8Array | undefined) => readBoots({ getMeta: () => Promise.resolve(value) })

test('boots are read as they were noted, the oldest first', async () => {
  let boots: readonly Epoch[] = []
  for (const boot of [3, 1, 2]) boots = await onDisk(bootNoted(boots, epochOf(boot)).value)
  expect(boots).toEqual([3, 1, 2].map(epochOf))
})

test('a new disk knows none, and damage is passed over', async () => {
  expect(await onDisk(undefined)).toEqual([])
  expect(await onDisk(new TextEncoder().encode(`oops ${epochOf(1)}`))).toEqual([epochOf(1)])
})

test('the oldest go first when there are too many', async () => {
  const boots = Array.from({ length: limits.bootsMax }, (_, boot) => epochOf(boot))
  const noted = await onDisk(bootNoted(boots, epochOf(limits.bootsMax)).value)
  expect([noted.length, noted[0], noted.at(-1)]).toEqual([limits.bootsMax, epochOf(1), epochOf(limits.bootsMax)])
})
