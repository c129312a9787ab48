// Goal: whatever comes over a socket or a link, a peer stays up, names what it refuses, and goes on serving. Method: a few
// thousand inputs of each kind, others in each run; `npm run fuzz` takes as many as there is time for.
import { expect, test } from 'vitest'
import { fuzzFrames } from './frames.ts'
import { fuzzHttp } from './http.ts'
import { fuzzSockets } from './sockets.ts'

const seed = Math.floor(Math.random() * 2 ** 31)

test.each([
  ['http', 5_000, fuzzHttp],
  ['sockets', 5_000, fuzzSockets],
  ['frames', 200_000, fuzzFrames],
] as const)('%s: %d inputs', async (target, count, fuzz) => {
  const { findings, stallMs, memoryMiB } = await fuzz({ seed, count })
  console.log(`npm run fuzz -- --${target} ${count} --seed ${seed}: stall ${stallMs} ms, memory`, memoryMiB)
  expect(findings).toEqual([])
})
