import type { PeerId } from '#protocol/ids'
import type { MemberState, RegistryStatus } from './messages.ts'
import type { Registry } from './registry.ts'

/**
 * What an operator decides of a peer, anywhere in the mesh.
 * - `decommission`: it shall hand over what it holds, and be forgotten when it has.
 * - `forget`: it is gone, with its disk maybe. Who is alive is forgotten by `force` only: it could hand over first.
 * - `admit`: it shall belong (again), whatever was decided before.
 */
export type RegistryEdit =
  | { readonly type: 'decommission' | 'admit'; readonly peer: PeerId }
  | { readonly type: 'forget'; readonly peer: PeerId; readonly force: boolean }

export interface RegistryRefusal {
  readonly code: 'MEMBER_NOT_FOUND' | 'MEMBER_ALIVE' | 'LAST_MEMBER'
  readonly detail: string
}

/** The status that the edit leads to, which may be the one that there is, or why not. */
export function statusAfter(
  edit: RegistryEdit,
  { registry, stateOf }: { readonly registry: Registry; readonly stateOf: (peer: PeerId) => MemberState | undefined },
): RegistryStatus | RegistryRefusal {
  const { peer } = edit
  const status = registry.statusOf(peer)
  if (status === undefined) return { code: 'MEMBER_NOT_FOUND', detail: `${peer} is not known to this peer.` }
  const { type, generation } = status
  if (edit.type === 'admit') return type === 'member' ? status : { type: 'member', generation: generation + 1 }
  const goal = edit.type === 'forget' ? 'forgotten' : 'leaving'
  if (type === goal || type === 'forgotten') return status
  const name = registry.nameOf(peer)
  if (registry.ofStatus('member').every((other) => other === peer)) {
    return { code: 'LAST_MEMBER', detail: `Nobody is left to keep what ${name} holds.` }
  }
  const state = stateOf(peer)
  if (edit.type === 'forget' && !edit.force && (state === 'alive' || state === 'suspect')) {
    return { code: 'MEMBER_ALIVE', detail: `${name} is ${state}.` }
  }
  return { type: goal, generation }
}
