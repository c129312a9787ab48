// Stands in for `grapevine peer` in tests of `grapevine up`: prints the started line, serves a member list, ends on
// SIGTERM or when its parent is gone. FAKE_PEER_FAILS names a peer that cannot start, and FAKE_PEER_SAYS what it says then;
// FAKE_PEER_DIES names one that ends soon.
import { createServer } from 'node:http'
import { once } from 'node:events'

const flag = (name: string): string => process.argv[process.argv.indexOf(name) + 1] ?? ''
const [name, http] = [flag('--name'), flag('--http')]
const idOf = (peer: string): string => `12D3KooW${peer}`

process.on('SIGTERM', () => process.exit(0))
process.on('disconnect', () => process.exit(0))

if (process.env['FAKE_PEER_FAILS'] === name) {
  console.error(process.env['FAKE_PEER_SAYS'])
  process.exit(1)
}

const members = ['oak', 'elm', 'ash'].map((peer) => ({ id: idOf(peer), name: peer, state: 'alive' }))
const server = createServer((_, response) => void response.end(JSON.stringify({ peerId: idOf(name), members })))
server.listen(Number(http.split(':')[1]), '127.0.0.1')
await once(server, 'listening')
const join = process.argv.includes('--join') ? flag('--join') : undefined
console.error(`joins ${join ?? 'nobody'}`)
console.log(
  JSON.stringify({ event: 'started', name, peerId: idOf(name), listen: [flag('--listen')], http: `http://${http}` }),
)
if (process.env['FAKE_PEER_DIES'] === name) process.exit(7)
