import { Command } from 'commander'
import type { HealView, IslandView } from '#protocol/views'
import { connectTo, formatOf, withClientOptions, type ClientOptions, type Context } from '../context.ts'
import { durationText, tableText, writeRows, type Column } from '../output.ts'
import { say } from '../terminal.ts'
import { viewCommand } from '../watching.ts'

const partitionsHelp = `
The side of the peer that answers first; then those that were lost together, one
row each: whether they run and reach each other nobody there knows. Ask a peer
of the other side with --server.

Examples:
  $ grapevine partitions
  $ grapevine partitions --watch --server http://127.0.0.1:8402`

export const partitionsCommand = (context: Context): Command =>
  viewCommand(context, 'partitions', {
    description: 'who cannot be reached from a peer, since when and why',
    help: partitionsHelp,
    view: (mesh, options) => mesh.partitions(options),
    text: (stream, { islands }) => tableText(stream, islands, islandColumns),
  })

const islandColumns: readonly Column<IslandView>[] = [
  { title: 'side', of: ({ side }) => side, style: ({ side }) => (side === 'ours' ? 'green' : 'red') },
  { title: 'apart for', of: ({ sinceMs }) => (sinceMs === undefined ? '-' : durationText(sinceMs)) },
  { title: 'members', of: ({ members }) => members.map(({ name }) => name).join(' '), style: () => 'bold' },
  { title: 'why', of: ({ members }) => [...new Set(members.flatMap(({ reason }) => reason ?? []))].join('; ') },
]

const healsHelp = `
The last heals as the peer that answers has seen them, newest first. Received
are records that were written over there and are on its disk since, twice those
of them that were here already (a publish retried on both sides); taken are
those that the others have confirmed. In brackets what is still to come. A peer
that was restarted shows as a heal of one.

Examples:
  $ grapevine heals
  $ grapevine heals -o json | jq 'select(.state != "merged")'`

export function healsCommand(context: Context): Command {
  return withClientOptions(new Command('heals'))
    .description('what the last heals have merged')
    .addHelpText('after', healsHelp)
    .action(async (options: ClientOptions) => {
      const { terminal } = context
      await using mesh = await connectTo(context, options)
      const heals = await mesh.heals({ signal: terminal.stop })
      await writeRows(terminal, formatOf(context, options), heals, healColumns)
      if (heals.length === 0) say(terminal, 'no heal since this peer started')
    })
}

const healColumns: readonly Column<HealView>[] = [
  { title: 'healed at', of: ({ until }) => until },
  { title: 'apart for', of: ({ durationMs }) => durationText(durationMs) },
  { title: 'ours', of: ({ ours }) => ours.map(({ name }) => name).join(' ') },
  { title: 'theirs', of: ({ theirs }) => theirs.map(({ name }) => name).join(' '), style: () => 'bold' },
  { title: 'received', of: ({ received }) => countText(received) },
  { title: 'twice', of: ({ duplicates }) => duplicates },
  { title: 'taken', of: ({ taken }) => countText(taken) },
  {
    title: 'state',
    of: ({ state, mergedInMs }) => (mergedInMs === undefined ? state : `${state} in ${durationText(mergedInMs)}`),
    style: ({ state }) => (state === 'merged' ? 'green' : 'yellow'),
  },
  { title: 'why', of: ({ reason }) => reason },
]

const countText = ({ records, left }: { readonly records: number; readonly left: number }): string =>
  left === 0 ? `${records}` : `${records} (${left})`
