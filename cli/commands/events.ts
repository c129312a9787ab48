import { Command, Option } from 'commander'
import { pause } from '#client/backoff'
import type { Mesh } from '#client/mesh'
import { MeshError } from '#protocol/errors'
import type { MeshEvent, MeshEventPage } from '#protocol/views'
import { connectTo, formatOf, withClientOptions, type ClientOptions, type Context } from '../context.ts'
import { jsonLine, printable } from '../output.ts'
import { styled, warn, write, type Style } from '../terminal.ts'

const help = `
What happens in the mesh as one peer sees it, each event with its reason: members
suspected, refuted and dead, links, splits and heals, strangers, damage, full
disks. Goes on until Ctrl-C; if that peer does not answer any more, at the next
server, with what that one has seen.

Examples:
  $ grapevine events --from earliest
  $ grapevine events --from earliest --no-follow -o json | jq 'select(.type == "dead")'`

interface EventsOptions extends ClientOptions {
  readonly from: 'earliest' | 'latest'
  readonly follow: boolean
}

/** How long one question waits for an answer. */
const waitMs = 30_000
const askAgainMs = 1_000

export function eventsCommand(context: Context): Command {
  return withClientOptions(new Command('events'))
    .description('what happens in the mesh, and why')
    .addOption(
      new Option('--from <start>', 'earliest: what the peer still knows; latest: what comes')
        .choices(['earliest', 'latest'])
        .default('latest'),
    )
    .option('--no-follow', 'end with what there is')
    .addHelpText('after', help)
    .action((options: EventsOptions) => follow(context, options))
}

async function follow(context: Context, options: EventsOptions): Promise<void> {
  const { terminal } = context
  const { stop: signal } = terminal
  await using mesh = await connectTo(context, options)
  let place: EventsPlace = { from: options.from }
  try {
    for (;;) {
      const page = await nextPage(context, mesh, { ...place, signal, ...(options.follow && { waitMs }) })
      if (page === undefined) continue
      await tell(context, options, page)
      if (!options.follow && page.events.length === 0) return
      if (page.last !== undefined) place = { after: page.last }
    }
  } catch (error) {
    // Ctrl-C is how it ends.
    if (!signal.aborted) throw error
  }
}

type EventsPlace = Pick<NonNullable<Parameters<Mesh['events']>[0]>, 'after' | 'from'>

/** Undefined: nobody answers, and after a moment it is to be asked again. */
async function nextPage(
  { terminal }: Context,
  mesh: Mesh,
  asked: NonNullable<Parameters<Mesh['events']>[0]>,
): Promise<MeshEventPage | undefined> {
  try {
    return await mesh.events(asked)
  } catch (error) {
    if (asked.waitMs === undefined || !(error instanceof MeshError && error.retryable)) throw error
    warn(terminal, `${error.message}; asking again`)
    await pause(askAgainMs, terminal.stop)
    return undefined
  }
}

async function tell(context: Context, options: EventsOptions, { events, gap }: MeshEventPage): Promise<void> {
  const { terminal } = context
  const format = formatOf(context, options)
  if (gap?.reason === 'moved-on') warn(terminal, `${gap.missed} events are not kept any more`)
  if (gap?.reason === 'other-boot') warn(terminal, 'another peer answers, or the same after a restart')
  const textOf = (event: MeshEvent): string =>
    format === 'json' ? jsonLine(event) : eventLine(event, (style, text) => styled(terminal.stdout, style, text))
  if (events.length > 0) await write(terminal, events.map(textOf).join(''))
}

const styles: Partial<Record<MeshEvent['type'], Style>> = {
  suspected: 'yellow',
  dead: 'red',
  partition: 'red',
  'stranger-refused': 'red',
  'double-identity': 'red',
  'disk-full': 'red',
  damaged: 'red',
  refuted: 'green',
  returned: 'green',
  healed: 'green',
  merged: 'green',
}

/** `10:00:00.123  suspected         ash suspected by elm: no answer to 3 indirect probes` */
function eventLine({ time, type, text }: MeshEvent, paint: (style: Style, text: string) => string): string {
  const clock = time.slice(11, 23)
  return `${paint('dim', clock)}  ${paint(styles[type] ?? 'bold', type.padEnd(16))}  ${printable(text)}\n`
}
