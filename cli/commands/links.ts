import { Command } from 'commander'
import type { LinkView, MemberView } from '#protocol/views'
import { formatOf, type Context } from '../context.ts'
import { everyMember, type MemberGateway } from '../every-member.ts'
import { durationText, jsonLine, printable, tableText, type Column } from '../output.ts'
import type { Style } from '../terminal.ts'
import { shownAnew, type WatchOptions, withWatchOption } from '../watching.ts'

const help = `
Asks every member that can be asked. A row is what one says of its links to the
others: the last round trip of a probe; up, before there was one; down or dial,
while it tries; - where it has or needs none; ? if it was not asked. ! marks what
the other end sees differently.

Examples:
  $ grapevine links
  $ grapevine links --watch`

export function linksCommand(context: Context): Command {
  return withWatchOption(new Command('links'))
    .description('who is linked to whom, as each end sees it')
    .addHelpText('after', help)
    .action(async (options: WatchOptions) => {
      const { terminal } = context
      const format = formatOf(context, options)
      await shownAnew(terminal, { watch: options.watch, format }, async () => {
        const { present } = await everyMember(context, options)
        const rows = await Promise.all(present.map((one) => rowOf(one, terminal.stop)))
        if (format === 'json') return rows.map(({ member, links }) => jsonLine({ from: member.name, links })).join('')
        return tableText(terminal.stdout, rows, columnsOf(rows)) + reasonsText(rows)
      })
    })
}

interface Row {
  readonly member: MemberView
  /** Undefined: it does not answer. */
  readonly links: readonly LinkView[] | undefined
}

async function rowOf({ member, mesh }: MemberGateway, signal: AbortSignal): Promise<Row> {
  try {
    return { member, links: await mesh?.links({ signal }) }
  } catch {
    signal.throwIfAborted()
    return { member, links: undefined }
  } finally {
    mesh?.close()
  }
}

function columnsOf(rows: readonly Row[]): readonly Column<Row>[] {
  const to = rows.map(({ member }) => ({
    title: member.name,
    of: (row: Row) => cellText(row, member, rows),
    style: (row: Row) => styleOf(row, member),
  }))
  return [{ title: 'from \\ to', of: ({ member }) => member.name, style: () => 'bold' }, ...to]
}

function cellText(row: Row, to: MemberView, rows: readonly Row[]): string {
  if (row.member.id === to.id) return '·'
  if (row.links === undefined) return '?'
  const link = linkTo(row, to)
  const back = rows.find(({ member }) => member.id === to.id)
  const isSeenOtherwise =
    back?.links !== undefined && (link?.state === 'up') !== (linkTo(back, row.member)?.state === 'up')
  return `${stateText(link)}${isSeenOtherwise ? ' !' : ''}`
}

function stateText(link: LinkView | undefined): string {
  if (link === undefined) return '-'
  if (link.state === 'up') return link.rttMs === undefined ? 'up' : durationText(link.rttMs)
  return link.state === 'dialing' ? 'dial' : 'down'
}

function styleOf(row: Row, to: MemberView): Style | undefined {
  const state = linkTo(row, to)?.state
  return state === 'up' ? 'green' : state === undefined ? 'dim' : 'red'
}

/** What the table has no room for. */
function reasonsText(rows: readonly Row[]): string {
  const lines = rows.flatMap(({ member, links = [] }) =>
    links
      .filter(({ state, lastError }) => state !== 'up' && lastError !== undefined)
      .map(({ name, lastError = '' }) => `${member.name} → ${name}: ${printable(lastError)}\n`),
  )
  return lines.length === 0 ? '' : `\n${lines.join('')}`
}

const linkTo = ({ links }: Row, to: MemberView): LinkView | undefined => links?.find(({ peer }) => peer === to.id)
