import type { MemberView } from '#protocol/views'
import { durationText, type Column } from './output.ts'
import type { Style } from './terminal.ts'

const stateStyles: Readonly<Record<MemberView['state'], Style>> = {
  alive: 'green',
  suspect: 'yellow',
  dead: 'red',
  left: 'dim',
}

export const memberColumns: readonly Column<MemberView>[] = [
  { title: 'name', of: (member) => (member.self ? `${member.name} *` : member.name), style: () => 'bold' },
  { title: 'state', of: stateText, style: (member) => stateStyles[member.state] },
  { title: 'since', of: (member) => durationText(member.sinceMs) },
  { title: 'incarnation', of: (member) => member.incarnation },
  { title: 'rtt', of: (member) => (member.rttMs === undefined ? '-' : durationText(member.rttMs)) },
  { title: 'http', of: (member) => member.http },
  { title: 'peers at', of: (member) => member.addresses.join(' ') },
  { title: 'why', of: whyText },
]

/** All that there is of each. */
export const wideColumns: readonly Column<MemberView>[] = [
  { title: 'name', of: (member) => (member.self ? `${member.name} *` : member.name), style: () => 'bold' },
  { title: 'state', of: (member) => member.state, style: (member) => stateStyles[member.state] },
  { title: 'status', of: (member) => member.status },
  { title: 'since', of: (member) => durationText(member.sinceMs) },
  { title: 'incarnation', of: (member) => member.incarnation },
  { title: 'link', of: (member) => (member.self ? '-' : member.linked ? 'up' : 'none') },
  { title: 'rtt', of: (member) => (member.rttMs === undefined ? '-' : durationText(member.rttMs)) },
  { title: 'suspected by', of: (member) => member.suspectedBy?.join(' ') || '-' },
  { title: 'dead in', of: (member) => (member.deadInMs === undefined ? '-' : durationText(member.deadInMs)) },
  { title: 'zone', of: (member) => member.zone || '-' },
  { title: 'http', of: (member) => member.http },
  { title: 'peers at', of: (member) => member.addresses.join(' ') },
  { title: 'id', of: (member) => member.id },
  { title: 'why', of: (member) => member.reason },
]

/** After a decision of an operator. */
export const decidedColumns: readonly Column<MemberView>[] = [
  { title: 'name', of: (member) => member.name, style: () => 'bold' },
  { title: 'state', of: (member) => member.state, style: (member) => stateStyles[member.state] },
  { title: 'status', of: (member) => member.status },
  { title: 'id', of: (member) => member.id },
]

/** `alive`, or `alive, leaving` while it is decommissioned */
function stateText({ state, status }: MemberView): string {
  return status === 'leaving' || status === 'forgotten' ? `${state}, ${status}` : state
}

/** `no answer to 3 indirect probes, says elm, dead in 2.0s` */
function whyText(member: MemberView): string {
  const accusers = member.suspectedBy?.length ? `says ${member.suspectedBy.join(', ')}` : undefined
  const deadline = member.deadInMs === undefined ? undefined : `dead in ${durationText(member.deadInMs)}`
  return [member.reason, accusers, deadline].filter((part) => part !== undefined).join(', ')
}
