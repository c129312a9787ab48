import { hostname } from 'node:os'
import { z } from 'zod'
import { parseOrigin } from '#gateway/origins'
import { gatewayDefaults } from '#gateway/config'
import { MeshError } from '#protocol/errors'
import { limits } from '#protocol/limits'
import { logLevels } from '#protocol/log-level'
import { isLoopback } from '#protocol/loopback'
import { membershipProfiles } from '#protocol/membership/config'
import { replicationDefaults } from '#protocol/replication/config'
import { deletedGraceMsDefault } from '#protocol/topics/remains'

/** `host:port`, with an IPv6 host in brackets. Port 0 picks a free one. */
const address = z
  .string()
  .refine((text) => parseAddress(text) !== undefined, 'must be host:port, such as 127.0.0.1:7400')

/** All interfaces. */
export const wildcards: readonly string[] = ['0.0.0.0', '::']

/** What others can dial. */
const dialable = address.refine((text) => {
  const { host = '', port = 1 } = parseAddress(text) ?? {}
  return port !== 0 && !wildcards.includes(host)
}, 'must be an address that others can dial: no port 0, and not all interfaces')

/** Flags come as true, environment variables as text. */
const flag = z.union([z.boolean(), z.stringbool()])

const list = z
  .union([z.string(), z.array(z.string())])
  .transform((value) => (Array.isArray(value) ? value : [value]).flatMap((text) => text.split(',')))
  .transform((items) => items.map((item) => item.trim()).filter((item) => item !== ''))

const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** `90s`, `10m`, `1h`: read as milliseconds. */
const duration = z
  .string()
  .regex(/^\d{1,6}(ms|s|m|h|d)$/, 'must be a duration such as 90s, 1h or 7d')
  .transform((text) => Number.parseInt(text, 10) * unitMs[text.replace(/^\d+/, '') as keyof typeof unitMs])

/** A host alone is dialed at the port that peers listen on by default. */
const seeds = list.refine(
  (items) => items.every((item) => /^[^\s:/[\]]+$/.test(item) || (parseAddress(item)?.port ?? 0) > 0),
  'must be host or host:port, such as oak.example:7400, separated by commas',
)

/** As browsers write them. */
const origins = list
  .transform((items) => items.map((item) => parseOrigin(item) ?? ''))
  .refine((items) => !items.includes(''), 'must be origins such as https://shop.example, or *, separated by commas')

/** A name people can type: no dots or commas, since ids and lists use them. */
const name = z
  .string()
  .max(limits.memberNameBytesMax)
  .regex(/^[A-Za-z0-9][A-Za-z0-9_-]*$/, 'must be letters, digits, _ and -')

/**
 * What one peer is started with (DESIGN §13). Each field is a flag (`--advertise-http`) and an environment variable
 * (`GRAPEVINE_ADVERTISE_HTTP`); its description is the help text. Flags win over the environment, both over defaults.
 */
export const nodeConfigSchema = z.object({
  name: name.default(hostLabel).describe('name of the peer, unique in the mesh (default: the host name)'),
  data: z.string().min(1).optional().describe('directory for identity and logs (default: ./data/<name>)'),
  storage: z.enum(['level', 'memory']).default('level').describe('level keeps records on disk, memory forgets them'),
  listen: address.default('127.0.0.1:7400').describe('host:port for other peers'),
  http: address.default('127.0.0.1:8400').describe('host:port for clients'),
  join: seeds.default([]).describe('host:port or DNS names of peers to join, comma-separated'),
  cluster: name.default('grapevine').describe('id of the cluster: peers of another cluster are refused'),
  secretFile: z
    .string()
    .min(1)
    .optional()
    .describe(
      'file with the secret of the cluster: only peers that know it are let in (and a second line, while it changes)',
    ),
  advertise: dialable.optional().describe('host:port under which other peers reach this one, if not --listen'),
  advertiseHttp: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('URL under which clients reach this peer, if not --http'),
  allowOrigin: origins
    .default([])
    .describe(
      'origins of web pages that may use this peer, comma-separated, beside its own: https://shop.example, or *',
    ),
  tokensFile: z
    .string()
    .min(1)
    .optional()
    .describe('file with tokens of clients, as grapevine token makes it: only those that show one are let in'),
  jwtKeys: z
    .string()
    .min(1)
    .refine((from) => isKeySource(from), 'must be a file, or a URL of https (of http on loopback only)')
    .optional()
    .describe('file or URL of a JSON Web Key Set: tokens that are signed with its keys are good, too'),
  jwtAudience: z.string().min(1).default('grapevine').describe('what aud of such a token must name'),
  jwtIssuer: z.string().min(1).optional().describe('what iss of such a token must be (default: anything)'),
  zone: z.string().max(64).default('').describe('place of this peer, such as a site or an availability zone'),
  profile: z
    .enum(['lan', 'wan', 'local'])
    .default('lan')
    .describe('timing of failure detection: lan, wan or local (the fastest)'),
  linksMax: z.coerce
    .number()
    .int()
    .min(1)
    .max(limits.linksMax / 2)
    .default(membershipProfiles.lan.linksMax)
    .describe(
      'links to other peers that are kept while nothing needs them: up to so many others, all are linked; of more, idle links are closed, ' +
        'and dialed when needed. Each costs a socket, some 100 KB and a share of the gossip; fewer cost about a dial per second',
    ),
  maxConnections: z.coerce
    .number()
    .int()
    .min(1)
    .max(1_000_000)
    .default(limits.connectionsMax)
    .describe('connections of clients at a time, half of them from one address; an idle one takes some 16 KiB'),
  rate: z.coerce
    .number()
    .min(1)
    .max(1_000_000_000)
    .default(gatewayDefaults.rates.requestsPerSecond)
    .describe('requests a second of one client, and messages on its WebSockets, by its token or else its address'),
  rateBytes: z.coerce
    .number()
    .min(1_024)
    .max(1_000_000_000_000)
    .default(gatewayDefaults.rates.bytesPerSecond)
    .describe('bytes a second that one client may send'),
  trustedProxies: list
    .default([])
    .describe('addresses or subnets of proxies, comma-separated, whose X-Forwarded-For says who the client is'),
  replaceAfter: duration
    .default(replicationDefaults.replaceAfterMs)
    .describe('for so long a member is away before others keep its topics meanwhile (default: 1h)'),
  deletedGrace: duration
    .default(deletedGraceMsDefault)
    .describe('for so long records stay readable that others published to a deleted topic (default: 7d)'),
  scrubRate: z.coerce
    .number()
    .min(0)
    .max(10_000)
    .default(8)
    .describe('MiB/s that are read to find damage on disk before a reader does; 0 for none'),
  handoffGrace: duration
    .default(replicationDefaults.handoffGraceMs)
    .describe('for so long a copy that others have taken over is kept all the same (default: 1h)'),
  logLevel: z.enum(logLevels).default('info').describe('how much is said in the log'),
  lab: flag.default(false).describe('allow clients to cut links of this peer'),
  insecure: flag
    .default(false)
    .describe(
      'listen beyond loopback although not all that connect are checked (no --secret-file, or no --tokens-file and no --jwt-keys)',
    ),
})

export type NodeConfig = Omit<z.infer<typeof nodeConfigSchema>, 'data'> & { readonly data: string }

/**
 * The configuration from flags (by field name) and the environment. Throws MeshError CONFIG_INVALID, which names the
 * field, or INSECURE_LISTEN.
 */
export function parseNodeConfig(sources: {
  readonly flags: Readonly<Record<string, unknown>>
  readonly env: Readonly<Record<string, string | undefined>>
}): NodeConfig {
  const given: Record<string, unknown> = {}
  for (const field of Object.keys(nodeConfigSchema.shape)) {
    given[field] = sources.flags[field] ?? emptyAsUnset(sources.env[envNameOf(field)])
  }
  const parsed = nodeConfigSchema.safeParse(given)
  if (!parsed.success) throw new MeshError('CONFIG_INVALID', complaintOf(parsed.error))
  const config = { ...parsed.data, data: parsed.data.data ?? `./data/${parsed.data.name}` }
  refuseStrangers(config)
  refuseSharedPort(config)
  return config
}

/** `advertiseHttp` → `GRAPEVINE_ADVERTISE_HTTP` */
export const envNameOf = (field: string): string => `GRAPEVINE_${field.replace(/[A-Z]/g, '_$&').toUpperCase()}`

/** `advertiseHttp` → `--advertise-http` */
export const flagNameOf = (field: string): string => `--${field.replace(/[A-Z]/g, '-$&').toLowerCase()}`

export function parseAddress(text: string): { readonly host: string; readonly port: number } | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:[\]/]+)):(\d{1,5})$/.exec(text)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  return host === undefined || port > 65_535 ? undefined : { host, port }
}

/** Whoever could change keys on their way could make tokens. */
function isKeySource(from: string): boolean {
  if (!/^[a-z]+:\/\//i.test(from)) return true
  if (!URL.canParse(from)) return false
  const { protocol, hostname } = new URL(from)
  return protocol === 'https:' || (protocol === 'http:' && isLoopback(hostname.replace(/^\[|\]$/g, '')))
}

/** Peers are checked by the secret, clients by their tokens. */
function refuseStrangers(config: NodeConfig): void {
  if (config.insecure) return
  for (const field of ['listen', 'http'] as const) {
    const host = parseAddress(config[field])?.host ?? ''
    const isChecked = field === 'listen' ? config.secretFile !== undefined : asksForTokens(config)
    if (isLoopback(host) || isChecked) continue
    throw new MeshError('INSECURE_LISTEN', `${flagNameOf(field)} ${config[field]} is reachable from other machines`)
  }
}

const asksForTokens = ({ tokensFile, jwtKeys }: NodeConfig): boolean =>
  tokensFile !== undefined || jwtKeys !== undefined

function refuseSharedPort({ listen, http }: NodeConfig): void {
  const peers = parseAddress(listen)
  const clients = parseAddress(http)
  if (peers?.port !== clients?.port || peers?.port === 0) return
  const hosts = [peers?.host ?? '', clients?.host ?? '']
  const overlap = hosts[0] === hosts[1] || hosts.some((host) => host === 'localhost' || wildcards.includes(host))
  if (!overlap) return
  throw new MeshError('CONFIG_INVALID', `--listen ${listen} and --http ${http} cannot share a port`)
}

function complaintOf(error: z.ZodError): string {
  const complaints = error.issues.map((issue) => `${flagNameOf(String(issue.path[0]))}: ${issue.message}`)
  return complaints.join('; ')
}

// An empty variable is how compose files and shells say "not set".
const emptyAsUnset = (text: string | undefined): string | undefined => (text === '' ? undefined : text)

function hostLabel(): string {
  const label = hostname()
    .split('.')[0]
    ?.replace(/[^A-Za-z0-9_-]/g, '-')
    .replace(/^[-_]+/, '')
  return label?.slice(0, limits.memberNameBytesMax) || 'peer'
}
