import { type AckLevel, ackLevelText, parseAckLevel, strictest } from '#protocol/ack-level'
import { limits } from '#protocol/limits'

/** How long records are kept at least. A limit that is left out limits nothing; none at all keeps everything. */
export interface Retention {
  readonly ageMs?: number
  readonly bytes?: number
  readonly records?: number
}

/** What a topic can be told. All of it protects, so what was set concurrently is joined by the larger (DESIGN §10). */
export interface TopicConfig {
  /** Copies that the topic's home makes up. Higher: survives more lost disks, costs as many times the disk and traffic. */
  readonly replicas: number
  readonly retention: Retention
  /** What a publish waits for at least; one that asks for less is raised to it, never refused (P1). */
  readonly minAck: AckLevel
}

/** What somebody has asked for; the rest is as it was. */
export type AskedConfig = Partial<TopicConfig>

export const topicConfigDefaults: TopicConfig = { replicas: 3, retention: {}, minAck: { type: 'local' } }

export const retentionLimits = ['ageMs', 'bytes', 'records'] as const

/** Whoever keeps longer wins, limit by limit. */
export function longest(a: Retention, b: Retention): Retention {
  const joined: Partial<Record<keyof Retention, number>> = {}
  for (const limit of retentionLimits) {
    const [one, other] = [a[limit], b[limit]]
    if (one !== undefined && other !== undefined) joined[limit] = Math.max(one, other)
  }
  return joined
}

/** Is all that was asked for what holds already? */
export const agrees = (config: TopicConfig, asked: AskedConfig): boolean => {
  const [now, then] = [configJson(config), configJson({ ...config, ...asked })]
  return JSON.stringify(now) === JSON.stringify(then)
}

/** The configuration as JSON has it, in records and over HTTP; fields in one order. */
export interface ConfigJson {
  readonly replicas: number
  readonly retention: Retention
  readonly minAck: string
}

export const configJson = ({ replicas, retention, minAck }: TopicConfig): ConfigJson => ({
  replicas,
  retention: retentionJson(retention),
  minAck: ackLevelText(minAck),
})

export function retentionJson(retention: Retention): Retention {
  const entries = retentionLimits.flatMap((limit) => {
    const value = retention[limit]
    return value === undefined ? [] : [[limit, value] as const]
  })
  return Object.fromEntries(entries)
}

// Parsing: undefined for what is none ----------------------------------------------------------------------------------

export function parseReplicas(value: unknown): number | undefined {
  return isWhole(value) && value >= 1 && value <= limits.replicasMax ? value : undefined
}

export function parseRetention(value: unknown): Retention | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const isRetention = Object.entries(value).every(
    ([limit, bound]) => (retentionLimits as readonly string[]).includes(limit) && isWhole(bound) && bound >= 1,
  )
  return isRetention ? retentionJson(value) : undefined
}

export const parseMinAck = (value: unknown): AckLevel | undefined =>
  typeof value === 'string' ? parseAckLevel(value) : undefined

const isWhole = (value: unknown): value is number => Number.isSafeInteger(value)

export const joinReplicas = (a: number, b: number): number => Math.max(a, b)
export const joinMinAck = strictest
