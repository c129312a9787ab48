import type { Context } from 'hono'
import { assert } from '#protocol/assert'
import { MeshError } from '#protocol/errors'
import { type Action, meshName } from '#protocol/grants'
import type { TopicName, TopicPattern } from '#protocol/topic-name'

/** Who asks, as far as this gateway knows. */
export interface Principal {
  /** Whose producers and idempotency keys these are: nobody takes numbers of another principal. */
  readonly name: string
  may(action: Action, topic: TopicName): boolean
  /** May it do that to some topic that the pattern matches? */
  mayInPart(action: Action, pattern: TopicPattern): boolean
  /** Why it is trusted no more (TOKEN_EXPIRED, TOKEN_REVOKED, GRANTS_CHANGED); undefined as long as it is. */
  fault(): MeshError | undefined
  /** Tells once, within seconds, when it has a fault: whoever goes on serving it listens. Returns what ends that. */
  onFault(listener: (fault: MeshError) => void): () => void
}

const lasting: Pick<Principal, 'fault' | 'onFault'> = { fault: () => undefined, onFault: () => () => {} }

/** Everybody, where no tokens are asked for. */
export const anonymous: Principal = { name: 'anonymous', may: () => true, mayInPart: () => true, ...lasting }

/** Whoever has said nothing of itself where tokens are asked for: for what is open to all. */
export const nobody: Principal = { name: 'nobody', may: () => false, mayInPart: () => false, ...lasting }

/** Set by the guard that comes before all routes. */
export function principalOf(c: Context): Principal {
  const principal = c.get('principal') as Principal | undefined
  assert(principal !== undefined, 'whoever asks was looked at first')
  return principal
}

/** Throws why whoever asks is trusted no more: to be asked once it had to wait for its body, or for a peer that starts. */
export function refuseEnded(c: Context): void {
  const fault = principalOf(c).fault()
  if (fault !== undefined) throw fault
}

/** Throws FORBIDDEN unless who asks may do that. To be asked before anything is looked up: it says nothing of what there is. */
export function authorize(c: Context, action: Action, topic: TopicName): void {
  if (!principalOf(c).may(action, topic)) throw forbidden(action, topic)
}

/** Throws FORBIDDEN unless who asks may do something to the topic. */
export function authorizeAny(c: Context, topic: TopicName): void {
  if (!maySee(principalOf(c), topic)) throw forbidden('subscribe', topic)
}

export const maySee = (principal: Principal, topic: TopicName): boolean =>
  principal.may('subscribe', topic) || principal.may('publish', topic) || principal.may('manage', topic)

/** `subscribe` to look at the mesh, `manage` to decide on it. */
export const authorizeMesh = (c: Context, action: 'subscribe' | 'manage'): void => authorize(c, action, meshName)

export function forbidden(action: Action, topic: string): MeshError {
  const facts = { action, topic }
  return new MeshError('FORBIDDEN', `The token has no grant to ${action}: ${topic}.`, { facts })
}
