// What fan-out and idle sockets are measured against: a server of `ws` alone, in a process of its own, that repeats each message to all.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocketServer } from 'ws'

const server = createServer()
const sockets = new WebSocketServer({ server, perMessageDeflate: false })
sockets.on('connection', (socket) =>
  socket.on('message', (data: Buffer) => {
    const text = data.toString()
    for (const other of sockets.clients) if (other !== socket) other.send(text)
  }),
)
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`ws://127.0.0.1:${(server.address() as AddressInfo).port}\n`)
})
