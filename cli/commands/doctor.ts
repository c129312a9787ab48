import { connect as connectSocket } from 'node:net'
import { Command } from 'commander'
import { MeshError } from '#protocol/errors'
import type { MemberView, MeshEvent } from '#protocol/views'
import { type Examined, type Finding, findingsOf, type Said } from '../checkup.ts'
import { formatOf, withClientOptions, type ClientOptions, type Context } from '../context.ts'
import { everyMember, type MemberGateway } from '../every-member.ts'
import { exitCodes } from '../exit-codes.ts'
import { counted, writeRows, type Column } from '../output.ts'
import { say, warn } from '../terminal.ts'

const help = `
Asks every member at its own gateway, and looks at: ports, secrets and clusters
that differ, who reaches whom each way, clocks, disks, damage, versions, who
belongs by the word of each, identities. Each finding comes with its fix.

Exit code 0 if nothing is wrong (notes may be as they are to be), 3 if something
is. What a peer may not know of itself is in its log.

Examples:
  $ grapevine doctor
  $ grapevine doctor -o json | jq 'select(.severity == "wrong")'`

export function doctorCommand(context: Context): Command {
  return withClientOptions(new Command('doctor'))
    .description('look for what is wrong with the mesh, and say what to do')
    .addHelpText('after', help)
    .action(async (options: ClientOptions) => {
      const { terminal } = context
      const { present, left } = await everyMember(context, options)
      const examined = await Promise.all(present.map((one) => examine(one, terminal.stop)))
      const findings = findingsOf(examined)
      const format = formatOf(context, options)
      if (findings.length > 0 || format === 'json') await writeRows(terminal, format, findings, columns)
      for (const { name } of left) warn(terminal, `${name} has left the mesh and was not asked`)
      const wrong = findings.filter(({ severity }) => severity === 'wrong').length
      const verdict =
        wrong === 0 ? 'nothing is wrong' : `${counted(wrong, 'thing')} ${wrong === 1 ? 'is' : 'are'} wrong`
      say(terminal, `${counted(examined.length, 'member')} looked at: ${verdict}`)
      if (wrong > 0) context.exitCode = exitCodes.degraded
    })
}

const columns: readonly Column<Finding>[] = [
  {
    title: 'check',
    of: (finding) => finding.check,
    style: ({ severity }) => (severity === 'wrong' ? 'red' : 'yellow'),
  },
  { title: 'peer', of: (finding) => finding.peer, style: () => 'bold' },
  { title: 'found', of: (finding) => finding.what },
  { title: 'to do', of: (finding) => finding.fix },
]

async function examine({ member, mesh, error }: MemberGateway, signal: AbortSignal): Promise<Examined> {
  try {
    if (mesh !== undefined) return { member, said: await askedOf(mesh, signal) }
    return { member, silent: await silenceOf(member, error?.message ?? 'unknown') }
  } catch (failure) {
    if (!(failure instanceof MeshError)) throw failure
    return { member, silent: await silenceOf(member, failure.message) }
  } finally {
    mesh?.close()
  }
}

/** Only then its port is tried: there a connection that says nothing counts as a stranger's. */
async function silenceOf({ addresses }: MemberView, error: string): Promise<NonNullable<Examined['silent']>> {
  const open = await Promise.all(addresses.map(isOpen))
  return { error, port: open.includes(true) ? 'open' : 'closed' }
}

async function askedOf(mesh: NonNullable<MemberGateway['mesh']>, signal: AbortSignal): Promise<Said> {
  const askedMs = Date.now()
  const self = await mesh.self({ signal })
  const offByMs = (Date.now() - askedMs) / 2
  const [gossip, links, { totals }, strangers] = await Promise.all([
    mesh.gossip({ signal }),
    mesh.links({ signal }),
    mesh.replication({ signal }),
    strangersOf(mesh, signal),
  ])
  return {
    self,
    clock: { aheadMs: Date.parse(self.now) - (askedMs + offByMs), offByMs },
    members: gossip.members,
    forgotten: gossip.forgotten,
    links,
    double: gossip.self.double,
    totals,
    strangers,
  }
}

/** Of all events that are kept, page by page: the newest are on the last. */
async function strangersOf(mesh: NonNullable<MemberGateway['mesh']>, signal: AbortSignal): Promise<Said['strangers']> {
  const strangers: MeshEvent[] = []
  let page = await mesh.events({ signal })
  while (page.events.length > 0 && page.last !== undefined) {
    strangers.push(...page.events.filter(({ type }) => type === 'stranger-refused'))
    page = await mesh.events({ after: page.last, signal })
  }
  return strangers
}

const connectMsMax = 2_000

/** Does anybody take a connection there? */
function isOpen(address: string): Promise<boolean> {
  const { hostname, port } = URL.parse(`tcp://${address}`) ?? { hostname: '', port: '' }
  return new Promise((resolve) => {
    const socket = connectSocket({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port), timeout: connectMsMax })
    const done = (isThere: boolean): void => {
      socket.destroy()
      resolve(isThere)
    }
    socket.once('connect', () => done(true))
    socket.once('timeout', () => done(false))
    socket.once('error', () => done(false))
  })
}
