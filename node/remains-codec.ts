import { z } from 'zod'
import { type FeedKey, parseFeedKey } from '#protocol/log/feed'
import type { KeptFeed } from '#protocol/topics/remains'

const count = z.int().nonnegative()
const kept = z.array(
  z.object({
    key: z.string().refine((text): text is FeedKey => parseFeedKey(text) !== undefined),
    floor: count,
    end: count,
    keptMs: z.number().nonnegative(),
  }),
)

/** For how long feeds of deleted topics have been kept, as stored among the metadata. */
export const encodeRemains = (feeds: readonly KeptFeed[]): Uint8Array => new TextEncoder().encode(JSON.stringify(feeds))

/** What is damaged is as if nothing was there: then the grace time begins anew, and more is kept than need be. */
export function decodeRemains(bytes: Uint8Array | undefined): readonly KeptFeed[] {
  try {
    return bytes === undefined ? [] : kept.parse(JSON.parse(new TextDecoder().decode(bytes)))
  } catch {
    return []
  }
}
