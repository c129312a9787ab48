import { Command, InvalidArgumentError, Option } from 'commander'
import type { LabLink, Mesh } from '#client/mesh'
import { MeshError } from '#protocol/errors'
import type { MemberView } from '#protocol/views'
import { withClientOptions, type ClientOptions, type Context } from '../context.ts'
import { durationMsOf } from '../duration.ts'
import { everyMember } from '../every-member.ts'
import { memberNamed, report, told } from '../lab-orders.ts'
import { durationText } from '../output.ts'

const help = `
Each peer is told how what the other one sends arrives; clients are not affected.
A stream loses nothing in its middle: a lost frame comes later, after a timeout of
200ms and a round trip, twice that if it is lost again, and all behind it waits, as
TCP does it. With --loss 1 nothing arrives, which --one-way makes a cut in one
direction. Without --loss and --delay the link is as it was.

Examples:
  $ grapevine lab link oak elm --loss 0.3 --delay 200ms
  $ grapevine lab link oak elm --one-way --loss 1     elm hears nothing of oak
  $ grapevine lab link oak elm                        as before`

interface LinkOptions extends ClientOptions {
  readonly oneWay?: boolean
  readonly loss: number
  readonly delay: number
}

/** `grapevine lab link A B`: loss and delay from A to B, and back unless it is one way. */
export const labLinkCommand = (context: Context): Command =>
  withClientOptions(new Command('link'))
    .description('make the link between two peers slow or lossy')
    .argument('<from>', 'name or peer id')
    .argument('<to>', 'name or peer id')
    .option('--one-way', 'only what the first one sends to the second')
    .addOption(new Option('--loss <part>', 'how many frames are lost, from 0 to 1').argParser(lossOf).default(0))
    .addOption(new Option('--delay <duration>', 'one way, at most 60s').argParser(durationMsOf).default(0, '0ms'))
    .addHelpText('after', help)
    .action(async (from: string, to: string, options: LinkOptions) => {
      const { present: members } = await everyMember(context, options)
      const [one, other] = [memberNamed(from, members), memberNamed(to, members)]
      if (one === other) throw new MeshError('USAGE', `${from} and ${to} are one peer`)
      const ends =
        options.oneWay === true
          ? [{ at: other, of: one }]
          : [
              { at: other, of: one },
              { at: one, of: other },
            ]
      const way = { loss: options.loss, delayMs: options.delay }
      const done = ({ name }: MemberView): string =>
        `from ${name}: ${Math.round(way.loss * 100)} % lost, ${durationText(way.delayMs)} late`
      const orders = ends.map(({ at, of }) =>
        told(at, done(of.member), (mesh) => change(mesh, { from: of.member.id, ...way }, of.member.name)),
      )
      await report(context, options, await Promise.all(orders))
    })

/** Links from other peers stay as they are. */
async function change(mesh: Mesh, link: LabLink, name: string): Promise<void> {
  const others = (await mesh.lab.links()).filter(({ from }) => from !== link.from && from !== name)
  const isAsBefore = link.loss === 0 && link.delayMs === 0
  await mesh.lab.setLinks(isAsBefore ? others : [...others, link])
}

function lossOf(text: string): number {
  const loss = Number(text)
  if (/^[0-9.]+$/.test(text) && loss >= 0 && loss <= 1) return loss
  throw new InvalidArgumentError('It must be a number from 0 to 1, such as 0.3.')
}
