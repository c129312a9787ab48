import { connect, type Mesh } from '#client/mesh'
import { MeshError } from '#protocol/errors'
import type { MemberView } from '#protocol/views'
import { type Access, connectTo, type Context, tokenOf } from './context.ts'

/** A member with its own gateway, or why that does not answer. */
export interface MemberGateway {
  readonly member: MemberView
  readonly mesh?: Mesh
  readonly error?: MeshError
}

/** A gateway on the same network answers in milliseconds; one that does not would hold up everybody. */
const answerMsMax = 3_000

export interface EveryMember {
  readonly present: readonly MemberGateway[]
  /** They said good-bye, so they are not asked. */
  readonly left: readonly MemberView[]
}

/** Every member that one peer knows, asked at its own gateway. */
export async function everyMember(context: Context, access: Access): Promise<EveryMember> {
  const mesh = await connectTo(context, access)
  const members = await mesh.members({ signal: context.terminal.stop })
  mesh.close()
  const { present = [], left = [] } = Object.groupBy(members, ({ state }) => (state === 'left' ? 'left' : 'present'))
  return { present: await Promise.all(present.map((member) => gatewayOf(context, access, member))), left }
}

export async function gatewayOf(context: Context, access: Access, member: MemberView): Promise<MemberGateway> {
  const signal = context.terminal.stop
  try {
    const mesh = await connect({ servers: [member.http], signal, answerMsMax, ...(await tokenOf(context, access)) })
    const self = await mesh.self({ signal })
    if (self.peerId === member.id) return { member, mesh }
    // A port that another peer has taken since would be counted twice.
    return { member, error: new MeshError('UNAVAILABLE', `${member.http} is now ${self.name}`) }
  } catch (error) {
    if (!(error instanceof MeshError)) throw error
    return { member, error }
  }
}
