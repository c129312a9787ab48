import { z } from 'zod'
import { MeshError } from '#protocol/errors'
import { parsePeerId, type PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import type { RegistryEntry } from '#protocol/membership/registry'

const entrySchema = z.object({
  peer: z.string().refine((text): text is PeerId => parsePeerId(text) !== undefined),
  facts: z.object({
    name: z.string(),
    addresses: z.array(z.string()),
    http: z.string(),
    zone: z.string(),
    counter: z.int().nonnegative(),
  }),
  addresses: z.array(z.string()),
  status: z.object({
    type: z.enum(['joining', 'member', 'leaving', 'forgotten']),
    generation: z.int().nonnegative(),
  }),
})

/** The registry as stored among the metadata: JSON, so that a person can read it. */
export const encodeRegistry = (entries: readonly RegistryEntry[]): Uint8Array =>
  new TextEncoder().encode(JSON.stringify(entries))

/** Throws MeshError DATA_UNUSABLE: to guess who belongs would change what `majority` means. */
export function decodeRegistry(bytes: Uint8Array | undefined): readonly RegistryEntry[] {
  if (bytes === undefined) return []
  try {
    return z
      .array(entrySchema)
      .max(limits.membersMax)
      .parse(JSON.parse(new TextDecoder().decode(bytes)))
  } catch (cause) {
    throw new MeshError('DATA_UNUSABLE', 'The stored list of members is damaged', { cause })
  }
}
