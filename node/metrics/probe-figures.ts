import type { MembershipSnapshot } from '#protocol/membership/snapshot'
import { type FigureMaker, secondsBuckets } from './figure.ts'

/** How this peer looks after the others: probes, rumors, exchanges, and what it finds of itself. */
export function probeFigures(make: FigureMaker) {
  const roundTrip = make.histogram({
    name: 'grapevine_membership_probe_seconds',
    help: 'Round trips of probes, of the last 64 between two scrapes. High without distance: a blocked process, here or there.',
    buckets: secondsBuckets(0.0002, 10),
  })
  const awareness = make.gauge({
    name: 'grapevine_membership_awareness',
    help: 'Local health: 0 is best; probes of this peer take so many times longer, plus one. Above 0 for long: this peer is slow, or alone.',
  })
  const rumors = make.gauge({
    name: 'grapevine_membership_rumors',
    help: 'Updates that still ride on messages. Never falling to 0: members change faster than gossip spreads.',
  })
  const pushPulls = make.total({
    name: 'grapevine_membership_push_pulls_total',
    help: 'Full states of others that were merged: one for each link that comes up, and one now and then.',
  })
  const selfRefutations = make.total({
    name: 'grapevine_membership_self_refutations_total',
    help: 'Times that this peer was held for suspect or dead, and said that it lives. Rising: others cannot hear it, or it is blocked.',
  })
  let seen = 0
  return (snapshot: MembershipSnapshot): void => {
    const { counts, roundTrips } = snapshot
    const fresh = Math.min(counts.roundTrips - seen, roundTrips.length)
    seen = counts.roundTrips
    for (const { rttMs } of roundTrips.slice(roundTrips.length - fresh)) roundTrip.observe(rttMs / 1_000)
    awareness(snapshot.self.awareness)
    rumors(snapshot.rumors.length)
    pushPulls(counts.pushPulls)
    selfRefutations(counts.refutations)
  }
}
