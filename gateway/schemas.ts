import type { Context } from 'hono'
import { z } from 'zod'
import type { MeshError } from '#protocol/errors'
import { limits } from '#protocol/limits'
import { jsonOf, type Bodies, type BodyLimit } from './body.ts'
import { invalid } from './problem.ts'

/** Bodies of administration. Publishes, the hot path, are checked by hand in `publish-body.ts`. */

/** Topics take no configuration yet, so nothing that is asked for may be ignored. */
export const topicBody = z.strictObject({})

export const labPartitionBody = z.strictObject({
  drop: z.array(z.string().min(1).max(128)).min(1).max(limits.membersMax),
})

const adminLimit: BodyLimit = { bytesMax: 1024 * 1024, tooLarge: 'BODY_TOO_LARGE' }

/** The body checked against its schema, whatever its Content-Type; none at all is `{}`. Throws BAD_JSON, BAD_REQUEST. */
export async function bodyOf<Schema extends z.ZodType>(
  c: Context,
  bodies: Bodies,
  schema: Schema,
): Promise<z.output<Schema>> {
  const bytes = await bodies.read(c, adminLimit)
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
