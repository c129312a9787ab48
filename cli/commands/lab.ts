import { Command } from 'commander'
import { MeshError } from '#protocol/errors'
import { withClientOptions, type ClientOptions, type Context } from '../context.ts'
import { everyMember, type MemberGateway } from '../every-member.ts'
import { memberNamed, report, told } from '../lab-orders.ts'
import { warn } from '../terminal.ts'
import { labLinkCommand } from './lab-link.ts'
import { labReportCommand, labRunCommand } from './lab-run.ts'

const splitHelp = `
Every peer is told to be deaf and mute to the peers of the other sides: silence,
as when a cable is cut. Peers must have been started with --lab, as "up" does.
Clients still reach all of them. A peer on no side keeps talking to all.

Examples:
  $ grapevine lab split oak / elm,ash
  $ grapevine lab split oak,elm / ash,fir / yew`

export function labCommand(context: Context): Command {
  const lab = new Command('lab').description('cut the mesh and heal it, to see what happens')
  lab.addCommand(splitCommand(context))
  lab.addCommand(labLinkCommand(context))
  lab.addCommand(healCommand(context))
  lab.addCommand(labRunCommand(context))
  lab.addCommand(labReportCommand(context))
  return lab
}

const splitCommand = (context: Context): Command =>
  withClientOptions(new Command('split'))
    .description('cut the mesh into sides')
    .argument('<sides...>', 'names or peer ids with commas, sides with slashes: oak / elm,ash')
    .addHelpText('after', splitHelp)
    .action(async (texts: readonly string[], options: ClientOptions) => {
      const { present: members } = await everyMember(context, options)
      const sides = sidesOf(texts.join(' '), members)
      warnOfBridges(context, members, sides)
      const orders = sides.map((side) => ({
        side,
        drop: sides
          .filter((other) => other !== side)
          .flat()
          .map(idOf),
      }))
      const results = orders.flatMap(({ side, drop }) =>
        side.map((peer) => told(peer, 'cut', (mesh) => mesh.lab.drop(drop))),
      )
      await report(context, options, await Promise.all(results))
    })

const healCommand = (context: Context): Command =>
  withClientOptions(new Command('heal'))
    .description('let all peers talk to each other again')
    .addHelpText('after', '\nExample:\n  $ grapevine lab heal && grapevine verify --wait 30s')
    .action(async (options: ClientOptions) => {
      const { present: members } = await everyMember(context, options)
      await report(
        context,
        options,
        await Promise.all(members.map((peer) => told(peer, 'healed', (mesh) => mesh.lab.heal()))),
      )
    })

const idOf = ({ member }: MemberGateway): string => member.id

/** `oak,elm / ash` as members. Throws USAGE and MEMBER_NOT_FOUND. */
export function sidesOf(text: string, members: readonly MemberGateway[]): MemberGateway[][] {
  const sides = text.split('/').map((side) => side.split(/[\s,]+/).filter((name) => name !== ''))
  if (sides.length < 2)
    throw new MeshError('USAGE', 'A split has at least two sides with a slash between: oak / elm,ash')
  if (sides.some((side) => side.length === 0)) throw new MeshError('USAGE', 'A side of the split is empty')
  const names = sides.flat()
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice !== undefined) throw new MeshError('USAGE', `${twice} stands there twice`)
  return sides.map((side) => side.map((name) => memberNamed(name, members)))
}

function warnOfBridges(context: Context, members: readonly MemberGateway[], sides: readonly MemberGateway[][]): void {
  const bridges = members.filter((peer) => !sides.flat().includes(peer)).map(({ member }) => member.name)
  if (bridges.length > 0) warn(context.terminal, `${bridges.join(', ')} on no side: records still pass through there`)
}
