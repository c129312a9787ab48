// Five members and their clocks: what time it is for retention, whoever is wrong, away, or not heard yet.
import { expect, test } from 'vitest'
import type { PeerId } from '#protocol/ids'
import { MeshTime } from './mesh-time.ts'

const names = ['oak', 'elm', 'ash', 'fir', 'yew'] as readonly string[] as readonly PeerId[]
const year = 365 * 86_400_000

function timeOf(clocks: readonly number[], members = names.length): number | undefined {
  const time = new MeshTime()
  clocks.forEach((wallMs, index) => time.told(names[index] as PeerId, wallMs, 100))
  return time.now(new Set(names.slice(0, members)), 100)
}

test.each<[string, readonly number[], number, number | undefined]>([
  ['all agree', [50, 50, 50, 50, 50], 5, 50],
  ['one is a year ahead', [50, 50 + year, 50, 50, 50], 5, 50],
  ['two are', [50 + year, 50 + year, 50, 50, 50], 5, 50],
  ['two are a year behind', [50 - year, 50 - year, 50, 50, 50], 5, 50],
  ['two are ahead, and of the others only one was heard', [50 + year, 50 + year, 50], 5, 50],
  ['too few were heard', [50, 50], 5, undefined],
  ['of two the one that is behind decides', [50 + year, 50], 2, 50],
  ['of two only one was heard', [50], 2, undefined],
  ['a mesh of one goes by its clock', [50], 1, 50],
  ['strangers do not count', [50, 50 + year, 50 + year], 1, 50],
])('%s', (_, clocks, members, expected) => {
  expect(timeOf(clocks, members)).toBe(expected)
})

test('between two words of a clock its time goes on by our own', () => {
  const time = new MeshTime()
  time.told('oak' as PeerId, 1_000, 100)
  expect(time.now(new Set(['oak' as PeerId]), 350)).toBe(1_250)
})
