import { once } from 'node:events'
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { eventually, ProcessPeer, type PeerOptions } from '../process-peer.ts'
import type { BadInput } from './bad-input.ts'

/** What a start that fails says on stderr. */
async function startsWith(options: Omit<PeerOptions, 'name'>): Promise<string> {
  try {
    await using peer = await ProcessPeer.start({ name: 'ash', ...options })
    return `${peer.name} started`
  } catch (error) {
    return (error as Error).message.replace(/^.*\n/, '')
  }
}

/** A flag that contradicts another one, or itself. */
const contradiction = (input: string, named: RegExp, flags: readonly string[]): BadInput => ({
  input,
  named,
  give: (_, { directory }) => startsWith({ data: `${directory}/ash`, flags }),
})

export const badStarts: readonly BadInput[] = [
  {
    input: 'a data directory in use',
    named: /^GRAPEVINE_DATA_LOCKED: .*is used by process (\d+)\..* holder: \1$/s,
    give: async (oak) => {
      const pid = (await readFile(`${oak.options.data}/peer.pid`, 'utf8')).trim()
      return `${await startsWith({ data: oak.options.data })} holder: ${pid}`
    },
  },
  {
    input: 'a data directory in use, and --storage memory',
    named: /^GRAPEVINE_DATA_LOCKED: /,
    give: (oak) => startsWith({ data: oak.options.data, flags: ['--storage', 'memory'] }),
  },
  {
    input: 'a data directory of a newer version',
    named: /^GRAPEVINE_DATA_VERSION: .*has format 2; this version of Grapevine reads format 1/,
    give: async (_, { directory }) => {
      const data = `${directory}/newer`
      await mkdir(data)
      await writeFile(
        join(data, 'grapevine.json'),
        '{"format":2,"cluster":"grapevine","created":"2031-01-01T00:00:00Z"}',
      )
      return startsWith({ data })
    },
  },
  {
    input: 'a data directory of another cluster',
    named: /^GRAPEVINE_DATA_CLUSTER: .*belongs to cluster grapevine, .*started for garden/,
    give: (oak) => startsWith({ data: oak.options.data, flags: ['--cluster', 'garden'] }),
  },
  {
    input: 'a data directory that may not be written',
    named: /^GRAPEVINE_DATA_UNUSABLE: .*cannot be used: E(ACCES|PERM|ROFS)/,
    give: async (_, { directory }) => {
      // Root may write anywhere, but not make directories where the kernel shows its own.
      if (process.getuid?.() === 0) return startsWith({ data: '/sys/grapevine' })
      const data = `${directory}/read-only`
      await mkdir(data)
      await chmod(data, 0o500)
      return startsWith({ data })
    },
  },
  {
    input: 'a port for clients in use',
    named: /^GRAPEVINE_PORT_IN_USE: .*127\.0\.0\.1:\d+ is in use/,
    give: (oak, { directory }) => startsWith({ data: `${directory}/ash`, http: oak.http.replace('http://', '') }),
  },
  {
    input: 'a port for peers in use',
    named: /^GRAPEVINE_PORT_IN_USE: .*127\.0\.0\.1:\d+ is in use/,
    give: (oak, { directory }) => startsWith({ data: `${directory}/ash`, listen: oak.listen }),
  },
  {
    input: '--join to nobody',
    named: /^dial failed .*ECONNREFUSED.*; link down, attempt [3-9].*ECONNREFUSED/,
    give: async (_, { directory }) => {
      const nobody = `127.0.0.1:${await freePort()}`
      await using lonely = await ProcessPeer.start({ name: 'ash', data: `${directory}/ash`, join: [nobody] })
      let told = ''
      await eventually('it tries again and again', async () => {
        const { links } = (await (await fetch(`${lonely.http}/v1/mesh/links`)).json()) as { links: LinkJson[] }
        const link = links.find(({ peer }) => peer === nobody)
        told = `link ${link?.state}, attempt ${link?.dialAttempts}: ${link?.lastError}`
        return link?.state === 'down' && (link.dialAttempts ?? 0) >= 3
      })
      const line = lonely.log.split('\n').find((text) => text.includes('dial failed')) ?? '{}'
      const { event, reason } = JSON.parse(line) as Record<string, string>
      return `${event} ${reason}; ${told}`
    },
  },
  {
    input: '--storage memory where records lie',
    named: /^ash started; GRAPEVINE_CONFIG_INVALID: .*holds records .*--storage memory would leave them out/s,
    give: async (_, { directory }) => {
      const data = `${directory}/records`
      const peer = await ProcessPeer.start({ name: 'ash', data })
      await peer.client.publish('orders', 'kept')
      await peer.end('SIGTERM')
      return `ash started; ${await startsWith({ data, flags: ['--storage', 'memory'] })}`
    },
  },
  contradiction(
    'one port for peers and clients',
    /^GRAPEVINE_CONFIG_INVALID: .*--http 127.0.0.1:7400 cannot share a port/s,
    ['--listen', '127.0.0.1:7400', '--http', '127.0.0.1:7400'],
  ),
  contradiction('beyond loopback without --insecure', /^GRAPEVINE_INSECURE_LISTEN: /, ['--listen', '0.0.0.0:0']),
  contradiction('an advertised port 0', /^GRAPEVINE_CONFIG_INVALID: .*--advertise: /, ['--advertise', 'oak:0']),
  contradiction('an unknown profile', /^GRAPEVINE_CONFIG_INVALID: .*--profile: /, ['--profile', 'fast']),
  contradiction('a --join that is no address', /^GRAPEVINE_CONFIG_INVALID: .*--join: /, ['--join', 'http://oak:7400']),
  contradiction('an unknown flag', /^GRAPEVINE_USAGE: .*--jion/, ['--jion', 'oak:7400']),
]

interface LinkJson {
  readonly peer: string
  readonly state: string
  readonly dialAttempts?: number
  readonly lastError?: string
}

/** Nobody listens there, at least for now. */
async function freePort(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return String(port)
}
