import type { Command } from 'commander'
import type { GossipEvent, GossipView, RoundTrip } from '#protocol/views'
import type { Context } from '../context.ts'
import { memberColumns } from '../member-columns.ts'
import { durationText, sectionText, type Column } from '../output.ts'
import type { OutputStream } from '../terminal.ts'
import { viewCommand } from '../watching.ts'

const help = `
Shows members with who suspects them and why, the last changes of state, rumors
that are still being spread with their remaining sends, probes under way, the
round trips to each peer, and the last full exchange (push-pull) with it.

Examples:
  $ grapevine gossip
  $ grapevine gossip --watch --server http://127.0.0.1:8402`

const eventsShown = 12

export const gossipCommand = (context: Context): Command =>
  viewCommand(context, 'gossip', {
    description: 'what a peer believes of the others, and why',
    help,
    view: (mesh, options) => mesh.gossip(options),
    text: gossipText,
  })

export function gossipText(stream: OutputStream, view: GossipView): string {
  const section = <Row>(title: string, rows: readonly Row[], columns: readonly Column<Row>[]): string =>
    sectionText(stream, title, rows, columns)
  return [
    `${view.self.name} (${view.self.id}), incarnation ${view.self.incarnation}, awareness ${view.self.awareness}\n`,
    doubleText(view.self.double),
    section('Members', view.members, memberColumns),
    section('Last changes', view.events.slice(-eventsShown), eventColumns),
    section('Rumors being spread', view.rumors, [
      { title: 'about', of: (rumor) => rumor.name },
      { title: 'state', of: (rumor) => rumor.state },
      { title: 'incarnation', of: (rumor) => rumor.incarnation },
      { title: 'sends left', of: (rumor) => rumor.sendsLeft },
    ]),
    section('Probes under way', view.probes, [
      { title: 'peer', of: (probe) => probe.name },
      { title: 'phase', of: (probe) => probe.phase },
      { title: 'since', of: (probe) => durationText(probe.sinceMs) },
    ]),
    section('Last round trips', roundTripRows(view.roundTrips), [
      { title: 'peer', of: (trips) => trips.name },
      { title: 'last', of: (trips) => durationText(trips.lastMs) },
      { title: 'median', of: (trips) => durationText(trips.medianMs) },
      { title: 'max', of: (trips) => durationText(trips.maxMs) },
      { title: 'ago', of: (trips) => durationText(trips.agoMs) },
    ]),
    section('Full exchanges (push-pull)', view.pushPulls, [
      { title: 'peer', of: (exchange) => exchange.name },
      { title: 'ago', of: (exchange) => durationText(exchange.agoMs) },
    ]),
  ].join('')
}

/** Each of up to 64 would push the members off the screen; the JSON has them all, the newest last. */
function roundTripRows(trips: readonly RoundTrip[]) {
  return [...Map.groupBy(trips, ({ peer }) => peer).values()].map((ofPeer) => {
    const last = ofPeer.at(-1) as RoundTrip
    const sorted = ofPeer.map(({ rttMs }) => rttMs).toSorted((a, b) => a - b)
    const medianMs = sorted[sorted.length >> 1] as number
    return { name: last.name, lastMs: last.rttMs, medianMs, maxMs: sorted.at(-1) as number, agoMs: last.agoMs }
  })
}

const eventColumns: readonly Column<GossipEvent>[] = [
  { title: 'ago', of: (event) => durationText(event.agoMs) },
  { title: 'member', of: (event) => event.name },
  { title: 'change', of: (event) => `${event.from} → ${event.to}` },
  { title: 'incarnation', of: (event) => event.incarnation },
  { title: 'by', of: (event) => event.by },
  { title: 'why', of: (event) => event.reason },
]

const doubleText = (double: GossipView['self']['double']): string =>
  double === undefined
    ? ''
    : `another process has its identity, at ${double.addresses.join(' ') || 'an unknown address'} ${durationText(double.agoMs)} ago: stop one of them\n`
