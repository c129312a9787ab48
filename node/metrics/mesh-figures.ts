import type { MembershipSnapshot } from '#protocol/membership/snapshot'
import type { MemberView } from '#protocol/views'
import type { MemberChange, PeerDriver } from '../driver.ts'
import { boundedLabels } from './bounded-labels.ts'
import type { FigureMaker } from './figure.ts'
import { memberLabelsMax } from './replication-figures.ts'
import { probeFigures } from './probe-figures.ts'
import { trafficFigures } from './traffic-figures.ts'

const states: readonly MemberView['state'][] = ['alive', 'suspect', 'dead', 'left']

/** Who is there, and what goes over the links. */
export function meshFigures(make: FigureMaker) {
  const members = make.shownGauge(
    {
      name: 'grapevine_membership_members',
      help: 'Registered members by state, this peer included. Suspect or dead: ask gossip for the reason.',
    },
    ['state'],
  )
  const links = make.shownGauge(
    {
      name: 'grapevine_membership_links',
      help: 'Links to registered members and seeds: up, dialing, down until the next dial, or resting because nothing needs them (--links-max). Down for long: address, firewall, partition.',
    },
    ['state'],
  )
  const opened = make.total({
    name: 'grapevine_membership_links_opened_total',
    help: 'Links that came up. Up to --links-max + 1 members it rises only when peers or networks come and go: else links flap. In larger meshes idle links rest and come back, one to four per second are normal: more, and --links-max is low for what is published.',
  })
  const closed = make.shownCounter(
    {
      name: 'grapevine_membership_links_closed_total',
      help: 'Links that went down: idle (nothing needed them: normal above --links-max, and neither logged nor an event), silent (given up here), closed by the other process, broken.',
    },
    ['reason'],
  )
  const roundTrips = make.shownGauge(
    {
      name: 'grapevine_membership_round_trip_seconds',
      help: 'Last round trip of a probe to a linked member. High without distance: that process, or this one, is blocked.',
    },
    ['member'],
  )
  const rejected = make.total({
    name: 'grapevine_membership_rejected_updates_total',
    help: 'Member updates refused as absurd. Rising: a broken or hostile member.',
  })
  const strangers = make.total({
    name: 'grapevine_node_strangers_total',
    help: 'Connections to the peer port that were refused: another protocol, cluster or secret, or more of them than are taken. Rising: see the log for who and why.',
  })
  const probes = probeFigures(make)
  const traffic = trafficFigures(make)
  return {
    ...changeFigures(make),
    collect: (driver: PeerDriver, snapshot: MembershipSnapshot, strangerCount: number): void => {
      members(states.map((state) => [{ state }, snapshot.members.filter((member) => member.state === state).length]))
      const byState = { up: snapshot.links.length, dialing: 0, down: 0, resting: snapshot.resting }
      for (const { state } of snapshot.dials) byState[state]++
      links(Object.entries(byState).map(([state, count]) => [{ state }, count]))
      opened(snapshot.linkCounts.opened)
      closed(Object.entries(snapshot.linkCounts.closed).map(([reason, count]) => [{ reason }, count]))
      roundTrips(roundTripsOf(snapshot))
      probes(snapshot)
      rejected(snapshot.rejected)
      strangers(strangerCount)
      traffic(driver)
    },
  }
}

/** What becomes of members, as it happens. */
function changeFigures(make: FigureMaker) {
  const changes = make.counter(
    {
      name: 'grapevine_membership_changes_total',
      help: 'Changes of a member to a state, as seen here. Often suspect, then alive: a lossy network or a blocked process.',
    },
    ['to'],
    states.map((to) => ({ to })),
  )
  const refutations = make.counter({
    name: 'grapevine_membership_refutations_total',
    help: 'Suspects that were alive after all, as seen here. Near the suspicions: the network is lossy, or processes are blocked.',
  })
  const doubles = make.counter({
    name: 'grapevine_membership_double_identities_total',
    help: 'Times that another process with the identity of this peer was noticed, once a minute at most. Above 0: stop one of the two.',
  })
  return {
    changed: ({ from, to }: Pick<MemberChange, 'from' | 'to'>): void => {
      changes.inc({ to })
      if (from === 'suspect' && to === 'alive') refutations.inc()
    },
    doubled: (): void => doubles.inc(),
  }
}

/** Of two members with one name, or beyond the bound, the slowest is shown. */
function roundTripsOf({ links }: MembershipSnapshot) {
  const labelOf = boundedLabels(
    links.map(({ name }) => name),
    memberLabelsMax,
  )
  const slowest = new Map<string, number>()
  for (const { name, rttMs } of links) {
    if (rttMs === undefined) continue
    const member = labelOf(name)
    slowest.set(member, Math.max(slowest.get(member) ?? 0, rttMs / 1_000))
  }
  return [...slowest].map(([member, seconds]) => [{ member }, seconds] as const)
}
