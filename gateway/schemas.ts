import type { Context } from 'hono'
import { z } from 'zod'
import type { MeshError } from '#protocol/errors'
import { type AckLevel, parseAckLevel } from '#protocol/ack-level'
import { limits } from '#protocol/limits'
import { logLevels } from '#protocol/log-level'
import { type AskedConfig, topicConfigDefaults } from '#protocol/topic-config'
import { refuseEnded } from './auth/principal.ts'
import { jsonOf, type Bodies, type BodyLimit } from './body.ts'
import { invalid } from './problem.ts'

/** Bodies of administration. Publishes, the hot path, are checked by hand in `publish-body.ts`. */

const atLeastOne = z.int().min(1)
const replicas = atLeastOne.max(limits.replicasMax)
/** Whole: a limit that is left out is none. */
const retention = z.strictObject({
  ageMs: atLeastOne.exactOptional(),
  bytes: atLeastOne.exactOptional(),
  records: atLeastOne.exactOptional(),
})
const minAck = z.string().transform((text, context): AckLevel => {
  const level = parseAckLevel(text)
  if (level !== undefined) return level
  context.addIssue('must be local, n:K, majority, all, n:K+majority or n:K+all')
  return z.NEVER
})

/** What is left out is not asked for. */
export const topicBody = z.strictObject({
  replicas: replicas.exactOptional(),
  retention: retention.exactOptional(),
  minAck: minAck.exactOptional(),
}) satisfies z.ZodType<AskedConfig>

/** null asks for the default. */
export const topicPatchBody = z.strictObject({
  replicas: orDefault(replicas, topicConfigDefaults.replicas),
  retention: orDefault(retention, topicConfigDefaults.retention),
  minAck: orDefault(minAck, topicConfigDefaults.minAck),
}) satisfies z.ZodType<AskedConfig>

function orDefault<Schema extends z.ZodType>(schema: Schema, normal: z.output<Schema>) {
  return schema
    .nullable()
    .transform((value) => value ?? normal)
    .exactOptional()
}

export const cursorBody = z.strictObject({ cursor: z.string().min(1).max(limits.namedCursorTextMax) })

export const logLevelBody = z.strictObject({ level: z.enum(logLevels) })

export const labPartitionBody = z.strictObject({
  drop: z.array(z.string().min(1).max(128)).min(1).max(limits.membersMax),
})

export const labLinksBody = z.strictObject({
  links: z
    .array(
      z.strictObject({
        from: z.string().min(1).max(128),
        loss: z.number().min(0).max(1).default(0),
        delayMs: z.int().min(0).max(limits.labDelayMsMax).default(0),
      }),
    )
    .max(limits.membersMax),
})

const adminLimit: BodyLimit = { bytesMax: 1024 * 1024, tooLarge: 'BODY_TOO_LARGE' }

/** The body checked against its schema, whatever its Content-Type; none at all is `{}`. Throws BAD_JSON, BAD_REQUEST. */
export async function bodyOf<Schema extends z.ZodType>(
  c: Context,
  bodies: Bodies,
  schema: Schema,
): Promise<z.output<Schema>> {
  const bytes = await bodies.read(c, adminLimit)
  refuseEnded(c)
  const result = schema.safeParse(bytes.length === 0 ? {} : jsonOf(bytes))
  if (result.success) return result.data
  throw complaintOf(result.error)
}

function complaintOf(error: z.ZodError): MeshError {
  const [issue] = error.issues
  if (issue === undefined) return invalid('the body', 'is not valid')
  if (issue.code === 'unrecognized_keys') return invalid(issue.keys.join(', '), 'is not known here')
  return invalid(issue.path.join('.') || 'the body', `is not valid: ${issue.message}`)
}
