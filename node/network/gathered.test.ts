// What is written within one turn of the event loop leaves as one, in order, also what is written when the socket ends.
import { once } from 'node:events'
import { Duplex } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { gathered } from './gathered.ts'

function socket() {
  const writes: string[] = []
  const duplex = new Duplex({
    read() {},
    write(chunk: Uint8Array, _, done) {
      writes.push(String(chunk))
      done()
    },
    writev(chunks, done) {
      writes.push(chunks.map(({ chunk }) => String(chunk as Uint8Array)).join(''))
      done()
    },
  })
  gathered(duplex)
  return { duplex, writes }
}

test('pieces of one turn are one write, and those of the next another', async () => {
  const { duplex, writes } = socket()
  duplex.write('head ')
  duplex.write('body ')
  queueMicrotask(() => void duplex.write('of control'))
  await turn()
  duplex.write('next')
  await turn()
  expect(writes).toEqual(['head body of control', 'next'])
})

test('an end does not wait, and loses nothing', async () => {
  const { duplex, writes } = socket()
  duplex.write('head ')
  duplex.write('body')
  duplex.end()
  await once(duplex, 'finish')
  await turn()
  expect(writes).toEqual(['head body'])
})

test('a socket that is destroyed before it is written to stays silent', async () => {
  const { duplex, writes } = socket()
  duplex.write('head')
  duplex.destroy()
  await turn()
  expect(writes).toEqual([])
})
