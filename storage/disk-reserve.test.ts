import { expect, test } from 'vitest'
import { reserveBytes, writeBufferBytes } from './disk-reserve.ts'

const MiB = 1024 * 1024

test.each([
  [32, 1, 16],
  [64, 1, 16],
  [128, 2, 32],
  [1_000, 8, 128],
  [1_024, 16, 256],
  [5_000, 16, 256],
  [1_000_000, 16, 256],
])('of a disk of %i MiB, tables take %i MiB and %i MiB are kept free', (disk, buffer, reserve) => {
  expect(writeBufferBytes(disk * MiB)).toBe(buffer * MiB)
  expect(reserveBytes(disk * MiB)).toBe(reserve * MiB)
})
