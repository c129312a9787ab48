import { MeshError } from '#protocol/errors'
import { formatOf, type ClientOptions, type Context } from './context.ts'
import type { MemberGateway } from './every-member.ts'
import { exitCodes } from './exit-codes.ts'
import { writeRows } from './output.ts'
import { warn } from './terminal.ts'

/** Throws MEMBER_NOT_FOUND with the names that there are. */
export function memberNamed(name: string, members: readonly MemberGateway[]): MemberGateway {
  const found = members.find(({ member }) => member.name === name || member.id === name)
  if (found !== undefined) return found
  const known = members.map(({ member }) => member.name).join(', ')
  throw new MeshError('MEMBER_NOT_FOUND', `${name} is not a member; there are: ${known}`)
}

/** What became of an order that a peer was given. */
export interface Told {
  readonly peer: string
  readonly result: string
  readonly ok: boolean
}

/** Gives a peer an order, and closes its gateway. What the peer has against it is in the result. */
export async function told(
  { member, mesh, error }: MemberGateway,
  done: string,
  order: (mesh: NonNullable<MemberGateway['mesh']>) => Promise<void>,
): Promise<Told> {
  if (mesh === undefined) return { peer: member.name, result: error?.message ?? '', ok: false }
  try {
    await order(mesh)
    return { peer: member.name, result: done, ok: true }
  } catch (failure) {
    if (!(failure instanceof MeshError)) throw failure
    return { peer: member.name, result: `${failure.code}: ${failure.message}`, ok: false }
  } finally {
    mesh.close()
  }
}

/** One row per peer; the exit code says whether all took their orders. */
export async function report(context: Context, options: ClientOptions, results: readonly Told[]): Promise<void> {
  await writeRows(context.terminal, formatOf(context, options), results, [
    { title: 'peer', of: (row) => row.peer, style: () => 'bold' },
    { title: 'result', of: (row) => row.result, style: (row) => (row.ok ? 'green' : 'red') },
  ])
  if (results.every(({ ok }) => ok)) return
  context.exitCode = results.some(({ ok }) => ok) ? exitCodes.degraded : exitCodes.failed
  warn(context.terminal, 'not all peers took the order')
}
