import type { WebSocket } from 'ws'

export type Frame = Record<string, unknown> & { type: string }

/** What a client in tests is told over its socket, from the beginning. */
export class TestClient {
  readonly socket: WebSocket
  readonly frames: Frame[] = []
  /** The close code. */
  readonly closed: Promise<number>
  #arrived = Promise.withResolvers<void>()

  constructor(socket: WebSocket, frameOf: (data: Buffer, isBinary: boolean) => Frame) {
    this.socket = socket
    this.closed = new Promise((resolve) => socket.once('close', resolve))
    socket.on('error', () => {})
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      this.frames.push(frameOf(data, isBinary))
      this.#arrived.resolve()
    })
  }

  send(...frames: object[]): void {
    for (const frame of frames) this.socket.send(JSON.stringify(frame))
  }

  /** The `count`th frame of this type (of this event), from the beginning. */
  async until(type: string, count = 1): Promise<Frame> {
    for (;;) {
      const found = this.frames.filter((frame) => frame.type === type || frame['event'] === type)
      if (found.length >= count) return found[count - 1] as Frame
      this.#arrived = Promise.withResolvers()
      const closed = this.closed.then((code) => Promise.reject(new Error(`closed with ${code} before ${type}`)))
      await Promise.race([this.#arrived.promise, closed])
    }
  }
}
