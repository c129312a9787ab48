import { once } from 'node:events'
import { createServer } from 'node:net'
import { MeshError } from '#protocol/errors'

/** How far beyond the first port to look before giving up. */
const searchedMax = 200

/** The first `count` ports from `first` on that nobody listens on at 127.0.0.1, in order. Throws PORT_IN_USE. */
export async function freePorts(first: number, count: number): Promise<number[]> {
  const ports: number[] = []
  for (let port = first; ports.length < count; port++) {
    if (port >= first + searchedMax)
      throw new MeshError('PORT_IN_USE', `no ${count} free ports from ${first} to ${port - 1}`)
    if (await isFree(port)) ports.push(port)
  }
  return ports
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  try {
    server.listen({ port, host: '127.0.0.1', exclusive: true })
    await once(server, 'listening')
    return true
  } catch {
    return false
  } finally {
    server.close()
  }
}
