import { afterEach, expect, test } from 'vitest'
import { networkLimits, streamHeldBytesMax } from '#node/network/network-limits'
import { Flood, testStreams } from '#node/network/test-streams'

// Goal: a reader that stops reading for 10 s costs a bounded amount of memory at both ends, and nothing is lost.
// Method: real time, since a limit that comes into play only after a while is what this looks for.

const streams = testStreams()
afterEach(() => streams.stopAll())

const stallMs = 10_000

test('after a stall of 10 s buffers are within their bound and everything arrives', async () => {
  const { stream, reader, theirs } = await streams.open()
  const frameCount = 200
  const flood = new Flood(stream, { frameBytes: 256 * 1024, frameCount })
  flood.start()
  for (let n = 0; n < 30; n++) flood.check(await reader.next())

  const peak = { unread: 0, theirs: 0, ours: 0 }
  const sampling = setInterval(() => {
    peak.unread = Math.max(peak.unread, flood.unreadBytes)
    peak.theirs = Math.max(peak.theirs, theirs.readBufferLength)
    peak.ours = Math.max(peak.ours, stream.writeBufferLength)
  }, 10)
  await new Promise((resolve) => setTimeout(resolve, stallMs))
  clearInterval(sampling)
  expect(flood.written).toBeLessThan(frameCount)
  expect(peak.unread).toBeGreaterThan(0)
  expect(peak.unread).toBeLessThanOrEqual(streamHeldBytesMax)
  expect(peak.theirs).toBeLessThanOrEqual(networkLimits.streamWindowBytes)
  expect(peak.ours).toBeLessThanOrEqual(flood.frameBytes + 4)

  while (flood.read < frameCount) flood.check(await reader.next())
  expect(flood.read).toBe(frameCount)
})
