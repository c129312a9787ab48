import type { Digests } from '#protocol/digests'
import { utf8 } from '#protocol/text'

/** What a client calls a producer: a name of its own, or the key of one request. The two never meet. */
export interface ProducerName {
  readonly type: 'producer' | 'idempotencyKey'
  readonly name: string
}

/**
 * The id under which a producer is in the log (DESIGN §7): first 16 bytes of SHA-256(principal ‖ topic ‖ name). So nobody
 * can take numbers of somebody else, or learn from ids who published. The parts are quoted, so that no two of them collide.
 */
export function producerIdOf(
  digests: Digests,
  { principal, topic, type, name }: ProducerName & { readonly principal: string; readonly topic: string },
): Uint8Array {
  return digests.sha256(utf8(JSON.stringify([principal, topic, type, name]))).slice(0, 16)
}
