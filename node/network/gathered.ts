import type { Duplex } from 'node:stream'

/**
 * From now on what is written to the socket within one turn of the event loop leaves as one: a frame comes as its head and its
 * body, a link has two streams, and each piece alone would be a TLS record, a system call, and a wake-up of the other side.
 */
export function gathered(socket: Duplex): void {
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean
  let isCorked = false
  const uncork = (): void => {
    isCorked = false
    socket.uncork()
  }
  socket.write = (...args: unknown[]): boolean => {
    if (!isCorked) {
      isCorked = true
      socket.cork()
      setImmediate(uncork)
    }
    return write(...args)
  }
}
