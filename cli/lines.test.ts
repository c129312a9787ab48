// Lines of an input become records: which bytes belong to which line, however the input is cut.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { limits } from '#protocol/limits'
import { lineBatches } from './lines.ts'

async function linesOf(chunks: readonly (string | Uint8Array)[]): Promise<string[]> {
  const batches = await batchesOf(chunks)
  return batches.flat().map((line) => Buffer.from(line).toString('latin1'))
}

async function batchesOf(chunks: readonly (string | Uint8Array)[]): Promise<Uint8Array[][]> {
  const batches: Uint8Array[][] = []
  for await (const batch of lineBatches(streamOf(chunks))) batches.push(batch)
  return batches
}

async function* streamOf(chunks: readonly (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) yield Promise.resolve(Buffer.from(chunk))
}

test.each([
  ['a\nb\n', ['a', 'b']],
  ['a\nb', ['a', 'b']],
  ['\n\na\n\n', ['', '', 'a', '']],
  ['a\r\nb\r', ['a\r', 'b\r']],
  ['', []],
])('%j has the lines %j', async (text, lines) => {
  expect(await linesOf([text])).toEqual(lines)
})

test('it does not matter where the input is cut', async () => {
  const chunks = fc.array(
    fc.uint8Array({ maxLength: 12 }).map((bytes) => bytes.map((byte) => (byte < 100 ? 10 : byte))),
  )
  await fc.assert(
    fc.asyncProperty(chunks, async (pieces) => {
      expect(await linesOf(pieces)).toEqual(await linesOf([Buffer.concat(pieces)]))
    }),
  )
})

test('a batch ends with what has come, so that nothing waits for more lines', async () => {
  const batches = lineBatches(streamOf(['pears\nfi', 'gs\n']))
  const next = async () => ((await batches.next()).value as Uint8Array[]).map((line) => Buffer.from(line).toString())
  expect(await next()).toEqual(['pears'])
  expect(await next()).toEqual(['figs'])
})

test('a batch has at most 1000 lines and 1 MiB', async () => {
  const many = await batchesOf(['x\n'.repeat(2_500)])
  expect(many.map((batch) => batch.length)).toEqual([1_000, 1_000, 500])
  const large = await batchesOf([`${'x'.repeat(400 * 1024)}\n`.repeat(5)])
  expect(large.map((batch) => batch.length)).toEqual([2, 2, 1])
})

test('a line that no record can hold is refused before all of it is kept, by its number', async () => {
  const chunk = 'x'.repeat(64 * 1024)
  const input = ['pears\n', ...Array.from({ length: Math.ceil(limits.recordBytesMax / chunk.length) + 1 }, () => chunk)]
  await expect(linesOf(input)).rejects.toMatchObject({
    code: 'RECORD_TOO_LARGE',
    message: expect.stringContaining('Line 2'),
  })
})
