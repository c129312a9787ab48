// What a command has printed reaches its reader, however slow that is, before the process ends.
import { Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { allWritten } from './terminal.ts'

test('what fits below the high-water mark of stdout is waited for too', async () => {
  const taken: string[] = []
  let takeNext = (): void => {}
  const slow = new Writable({
    write: (chunk: Buffer, _, done) => {
      taken.push(chunk.toString())
      takeNext = done
    },
  })
  for (const line of ['pears\n', 'plums\n', 'figs\n']) expect(slow.write(line)).toBe(true)
  let ended = false
  const end = allWritten(slow).then(() => (ended = true))
  while (taken.length < 4) {
    expect(ended).toBe(false)
    takeNext()
    await new Promise(setImmediate)
  }
  takeNext()
  await end
  expect(taken.join('')).toBe('pears\nplums\nfigs\n')
})

test('with nothing to write there is nothing to wait for, also when the reader has gone', async () => {
  await allWritten(new Writable({ write: (_chunk, _encoding, done) => done() }))
  const gone = new Writable({ write: () => undefined })
  gone.destroy()
  await allWritten(gone)
})
