import { Agent, request } from 'node:http'

/** Posts one body over and over on `connections` kept-alive sockets for `forMs`; how many answers came, all of them 201. */
export async function postRate(url: string, body: Uint8Array, connections: number, forMs: number): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const until = performance.now() + forMs
  let answers = 0
  const loop = async (): Promise<void> => {
    while (performance.now() < until) {
      await post(agent, url, body)
      answers++
    }
  }
  await Promise.all(Array.from({ length: connections }, loop))
  agent.destroy()
  return answers
}

function post(agent: Agent, url: string, body: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/octet-stream', 'content-length': body.length }
    const outgoing = request(url, { agent, method: 'POST', headers }, (incoming) => {
      if (incoming.statusCode !== 201) reject(new Error(`${url} answered ${incoming.statusCode}`))
      incoming.resume().on('end', resolve).on('error', reject)
    })
    outgoing.on('error', reject).end(body)
  })
}
