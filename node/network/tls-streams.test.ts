import { defaultLogger } from '@libp2p/logger'
import { AbstractMessageStream } from '@libp2p/utils'
import { expect, test } from 'vitest'
import { nodeStreamOf } from './tls-streams.ts'

/** Takes everything, and says each time that it was enough. */
class Full extends AbstractMessageStream {
  sent = 0
  constructor() {
    super({ log: defaultLogger().forComponent('test') })
  }
  sendData(bytes: { readonly byteLength: number }): { sentBytes: number; canSendMore: boolean } {
    this.sent += bytes.byteLength
    return { sentBytes: bytes.byteLength, canSendMore: false }
  }
  sendReset(): void {}
  sendPause(): void {}
  sendResume(): void {}
  async close(): Promise<void> {
    this.onTransportClosed()
  }
  drained(): void {
    this.dispatchEvent(new Event('drain'))
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('what is full is waited for each time', async () => {
  const full = new Full()
  const duplex = nodeStreamOf(full)
  let taken = 0
  for (const count of [1, 2, 3]) {
    duplex.write(new Uint8Array(100), () => taken++)
    await turn()
    expect([full.sent, taken]).toEqual([count * 100, count - 1])
    full.drained()
    await turn()
    expect(taken).toBe(count)
  }
})

test('whoever waits for room is told when there will be none', async () => {
  const full = new Full()
  const duplex = nodeStreamOf(full)
  const failed = new Promise<Error | null | undefined>((resolve) => {
    duplex.on('error', () => undefined)
    duplex.write(new Uint8Array(100), resolve)
  })
  full.abort(new Error('pulled'))
  expect((await failed)?.message).toBe('pulled')
})
