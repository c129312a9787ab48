import { Command } from 'commander'
import { pause } from '#client/backoff'
import type { Mesh } from '#client/mesh'
import { MeshError } from '#protocol/errors'
import type { LeavingView, MemberView } from '#protocol/views'
import { type Access, connectTo, formatOf, withClientOptions, type ClientOptions, type Context } from '../context.ts'
import { gatewayOf } from '../every-member.ts'
import { decidedColumns } from '../member-columns.ts'
import { counted, writeRows } from '../output.ts'
import { Progress } from '../progress.ts'
import { say } from '../terminal.ts'

const lookEveryMs = 500

const decommissionHelp = `
The member keeps no topic from now on, takes no publishes, and hands over what
it holds: everybody who is to have it confirms a copy from disk. Then it is
forgotten, and may be stopped for good. Nothing is deleted to make it go. This
command shows what is left and whom it waits for, through splits and restarts;
Ctrl-C ends the showing alone. "admit" calls it off.

Examples:
  $ grapevine decommission elm
  $ grapevine decommission elm --no-wait
  $ grapevine replication --watch --server http://elm:8400`

export function decommissionCommand(context: Context): Command {
  return withClientOptions(new Command('decommission'))
    .description('have a member hand over what it holds, and go')
    .argument('<member>', 'name or peer id')
    .option('--no-wait', 'do not wait until it has')
    .addHelpText('after', decommissionHelp)
    .action(async (name: string, options: ClientOptions & { readonly wait: boolean }) => {
      const { stop } = context.terminal
      await using mesh = await connectTo(context, options)
      const member = await mesh.decommission(name, { signal: stop })
      const after =
        options.wait && member.status === 'leaving' ? await handedOver(context, options, { mesh, member }) : member
      await writeRows(context.terminal, formatOf(context, options), [after], decidedColumns)
    })
}

const forgetHelp = `
For a member whose disk is gone, or that nobody wants to wait for any more: it
is not sought, counts for no ack, and others take over what it was to keep. If
it comes back all the same, what only it holds is taken from it, and it is
served nothing. Who is alive had better be decommissioned: that loses nothing.

Examples:
  $ grapevine forget elm
  $ grapevine members --forgotten`

export function forgetCommand(context: Context): Command {
  return withClientOptions(new Command('forget'))
    .description('let go of a member that is gone')
    .argument('<member>', 'name or peer id')
    .option('--force', 'also if it is alive')
    .addHelpText('after', forgetHelp)
    .action(async (name: string, options: ClientOptions & { readonly force?: boolean }) => {
      await using mesh = await connectTo(context, options)
      const member = await mesh.forget(name, { force: options.force === true, signal: context.terminal.stop })
      await writeRows(context.terminal, formatOf(context, options), [member], decidedColumns)
    })
}

export function admitCommand(context: Context): Command {
  return withClientOptions(new Command('admit'))
    .description('have a peer belong again that was forgotten, or is being decommissioned')
    .argument('<member>', 'name or peer id, see "members --forgotten"')
    .addHelpText('after', '\nExample:\n  $ grapevine admit elm')
    .action(async (name: string, options: ClientOptions) => {
      await using mesh = await connectTo(context, options)
      const member = await mesh.admit(name, { signal: context.terminal.stop })
      await writeRows(context.terminal, formatOf(context, options), [member], decidedColumns)
    })
}

/** Waits until the mesh has forgotten the member, and shows how far it has got. */
async function handedOver(
  context: Context,
  access: Access,
  { mesh, member: { id } }: { readonly mesh: Mesh; readonly member: MemberView },
): Promise<MemberView> {
  const { terminal } = context
  const progress = new Progress(terminal)
  let said = ''
  try {
    for (;;) {
      const member = await memberOf(mesh, id, terminal.stop)
      if (member.status === 'forgotten') return member
      if (member.status === 'member') throw new MeshError('BAD_REQUEST', `${member.name} was admitted again`)
      const { text, holdUp } = await progressOf(context, access, member)
      progress.show(text)
      // Where no line can change, it is told when something else holds it up.
      if (terminal.stderr.isTTY !== true && holdUp !== said) say(terminal, text)
      said = holdUp
      await pause(lookEveryMs, terminal.stop)
    }
  } finally {
    progress.end()
  }
}

async function memberOf(mesh: Mesh, id: string, signal: AbortSignal): Promise<MemberView> {
  const [members, forgotten] = [await mesh.members({ signal }), await mesh.forgotten({ signal })]
  const member = [...forgotten, ...members].find((one) => one.id === id)
  if (member === undefined) throw new MeshError('MEMBER_NOT_FOUND', `${id} is not known any more`)
  return member
}

/** It says itself what it has left. */
async function progressOf(
  context: Context,
  access: Access,
  member: MemberView,
): Promise<{ text: string; holdUp: string }> {
  const signal = context.terminal.stop
  const { mesh } = await gatewayOf(context, access, member)
  if (mesh === undefined) {
    const text = `${member.name} does not answer at ${member.http}: it goes on when it is back`
    return { text, holdUp: text }
  }
  try {
    const { leaving } = await mesh.replication({ signal })
    if (leaving === undefined) return { text: `${member.name} has not heard of it yet`, holdUp: 'word' }
    return { text: `${member.name} hands over: ${leftText(leaving)}`, holdUp: leaving.waitsFor.join(', ') }
  } catch (error) {
    if (!(error instanceof MeshError)) throw error
    return { text: `${member.name}: ${error.message}`, holdUp: error.code }
  } finally {
    mesh.close()
  }
}

/** `3 feeds with 120 records left, waits for ash, fir` */
export function leftText({ feeds, records, waitsFor }: LeavingView): string {
  const what = `${counted(feeds, 'feed')} with ${counted(records, 'record')} left`
  return waitsFor.length === 0 ? what : `${what}, waits for ${waitsFor.join(', ')}`
}
