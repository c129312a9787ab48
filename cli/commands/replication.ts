import type { Command } from 'commander'
import type { BehindView, CatchUpView, HandoffView, NeighborView, RepairView, ReplicationView } from '#protocol/views'
import type { Context } from '../context.ts'
import { counted, durationText, sectionText, type Column } from '../output.ts'
import type { OutputStream } from '../terminal.ts'
import { leftText } from './decisions.ts'
import { viewCommand } from '../watching.ts'

const help = `
Shows what each member is known to lack and of which topics, what the peer that
answers is fetching, which damage on its disk is being repaired or lost, and
which feeds it lets go of once those at home have confirmed theirs. "last heard"
is what it knew of a member before it lost the link to it.

Examples:
  $ grapevine replication
  $ grapevine replication --watch --server http://127.0.0.1:8402
  $ grapevine replication -o json | jq .totals.behindRecords`

export const replicationCommand = (context: Context): Command =>
  viewCommand(context, 'replication', {
    description: 'what flows between a peer and the others, and what waits for whom',
    help,
    view: (mesh, options) => mesh.replication(options),
    text: replicationText,
  })

export function replicationText(stream: OutputStream, view: ReplicationView): string {
  const { leftOut } = view
  const section = <Row>(title: string, rows: readonly Row[], columns: readonly Column<Row>[], more = 0): string =>
    sectionText(stream, title, rows, columns) + (more === 0 ? '' : `and ${more.toLocaleString('en-US')} more\n`)
  return [
    `${summary(view)}\n`,
    view.leaving === undefined ? '' : `This peer is ${view.leaving.status}: ${leftText(view.leaving)}\n`,
    section('Members', view.neighbors, neighborColumns, leftOut.neighbors),
    section('Behind', view.behind, behindColumns, leftOut.behind),
    section('Being fetched here', view.catchUps, catchUpColumns),
    section('Damage here', view.repairs, repairColumns, leftOut.repairs),
    section('Being let go of here', view.handoffs, handoffColumns, leftOut.handoffs),
  ].join('')
}

/** `33 records behind, 2 feeds to fetch, 4 damaged records (1 lost), disk full` */
function summary({ totals }: ReplicationView): string {
  const { behindRecords, behindFeeds, damagedRecords, lostRecords, waitingPublishes } = totals
  const parts = [
    `${counted(behindRecords, 'record')} behind`,
    ...(behindFeeds > 0 ? [`${counted(behindFeeds, 'feed')} to fetch`] : []),
    ...(damagedRecords > 0 ? [`${counted(damagedRecords, 'damaged record')} (${lostRecords} lost)`] : []),
    ...(waitingPublishes > 0 ? [`${counted(waitingPublishes, 'publish', 'publishes')} waiting for copies`] : []),
    ...(totals.diskFull ? ['disk full'] : []),
  ]
  return parts.join(', ')
}

const known = (current: boolean): string => (current ? 'now' : 'last heard')

const neighborColumns: readonly Column<NeighborView>[] = [
  { title: 'member', of: (member) => member.name, style: () => 'bold' },
  {
    title: 'link',
    of: (member) => (member.linked ? 'up' : 'none'),
    style: (member) => (member.linked ? 'green' : 'red'),
  },
  { title: 'known', of: (member) => known(member.current) },
  { title: 'behind', of: (member) => member.behindRecords },
  { title: 'feeds to send', of: (member) => member.unpushedFeeds },
  { title: 'disk', of: (member) => (member.diskFull ? 'full' : ''), style: () => 'red' },
]

const behindColumns: readonly Column<BehindView>[] = [
  { title: 'member', of: (row) => row.name, style: () => 'bold' },
  { title: 'topic', of: (row) => row.topic },
  { title: 'records', of: (row) => row.records },
  { title: 'known', of: (row) => known(row.current) },
]

const catchUpColumns: readonly Column<CatchUpView>[] = [
  { title: 'topic', of: (row) => row.topic },
  { title: 'from', of: (row) => row.from, style: () => 'bold' },
  { title: 'position', of: (row) => `${row.position} of ${row.target}` },
  { title: 'left', of: (row) => row.recordsLeft },
  { title: 'since', of: (row) => durationText(row.sinceMs) },
  { title: 'records/s', of: (row) => row.recordsPerSecond },
  { title: 'feed', of: (row) => row.feed },
]

const repairColumns: readonly Column<RepairView>[] = [
  { title: 'topic', of: (row) => row.topic },
  { title: 'state', of: (row) => row.state, style: (row) => (row.state === 'lost' ? 'red' : 'yellow') },
  { title: 'range', of: (row) => `[${row.from}, ${row.to})` },
  { title: 'from', of: (row) => row.source, style: () => 'bold' },
  { title: 'position', of: (row) => row.position },
  { title: 'feed', of: (row) => row.feed },
]

const handoffColumns: readonly Column<HandoffView>[] = [
  { title: 'topic', of: (row) => row.topic },
  { title: 'step', of: (row) => row.step },
  { title: 'records', of: (row) => row.records },
  { title: 'waits for', of: (row) => row.waitsFor.join(', ') },
  { title: 'next in', of: (row) => (row.nextInMs === undefined ? '' : durationText(row.nextInMs)) },
  { title: 'feed', of: (row) => row.feed },
]
