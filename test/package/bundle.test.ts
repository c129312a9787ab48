// What a page loads: that it is small, stands alone, and is the library.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import type * as client from '#client/index'
import { FakeGateway } from '#test/fake-gateway'
import { bundleGzipBytesMax, clientBundle, gzipBytes } from './bundle.ts'

const code = await clientBundle()

test('the client library is one file without imports, of at most 15 KiB compressed', () => {
  expect(code).not.toMatch(/\bimport\b|\brequire\(|\bprocess\b|\bBuffer\b/)
  expect(gzipBytes(code)).toBeLessThanOrEqual(bundleGzipBytesMax)
})

test.each([true, false])('it publishes and reads, where bytes are offered: %s', async (offersBinary) => {
  const directory = await mkdtemp(join(tmpdir(), 'grapevine-bundle-'))
  try {
    const file = join(directory, 'client.mjs')
    await writeFile(file, code)
    const { connect, MeshError } = (await import(pathToFileURL(file).href)) as typeof client
    await using oak = await FakeGateway.start('oak')
    oak.offersBinary = offersBinary
    await using mesh = await connect({ servers: [oak.url] })
    await mesh.publish('orders', { pears: 3 }, { key: 'k7' })
    for await (const record of mesh.subscribe('orders', { from: 'earliest' })) {
      expect([record.key, record.json()]).toEqual(['k7', { pears: 3 }])
      break
    }
    // What only peers say comes with their words; what a client finds by itself with its own.
    const told = await mesh.topicStatus('nothing').catch((error: unknown) => error)
    expect(told).toBeInstanceOf(MeshError)
    expect(told).toMatchObject({
      code: 'TOPIC_NOT_FOUND',
      status: 404,
      retryable: true,
      hint: expect.stringContaining('Publish to it'),
    })
    const own = await mesh.publish('orders', 'x'.repeat(2 ** 20)).catch((error: unknown) => error)
    expect(own).toMatchObject({
      code: offersBinary ? 'RECORD_TOO_LARGE' : 'BODY_TOO_LARGE',
      hint: expect.stringMatching(/[a-z]{3}/),
    })
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})
