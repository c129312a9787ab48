import type { GossipView, LinkView, MemberView, MeshEvent, ReplicationView, SelfNowView } from '#protocol/views'

/** What one member says of itself and of the others, as far as it could be asked. */
export interface Examined {
  readonly member: MemberView
  readonly said?: Said
  /** Why its gateway does not answer, and whether one of its ports for peers takes a connection from here. */
  readonly silent?: { readonly error: string; readonly port: 'open' | 'closed' }
}

export interface Said {
  readonly self: SelfNowView
  /** Its clock less that of this machine, and how far that may be off: half of what the answer took. */
  readonly clock: { readonly aheadMs: number; readonly offByMs: number }
  readonly members: readonly MemberView[]
  readonly forgotten: readonly MemberView[]
  readonly links: readonly LinkView[]
  readonly double: GossipView['self']['double']
  readonly totals: ReplicationView['totals']
  /** Of the events that it keeps, whenever that was. */
  readonly strangers: readonly MeshEvent[]
}

export type Check =
  | 'ports'
  | 'reach'
  | 'clock'
  | 'disk'
  | 'damage'
  | 'version'
  | 'registry'
  | 'secret'
  | 'identity'
  | 'names'

export interface Finding {
  readonly check: Check
  /** A `note` may be as it is to be. */
  readonly severity: 'wrong' | 'note'
  readonly peer: string
  readonly what: string
  readonly fix: string
}

/** Beyond that a clock is not merged (DESIGN §4): times of records, retention by age and `order` suffer. */
const clockMsMax = 500
/** A disk with less than this many times its reserve left is full soon. */
const reservesMin = 2
/** Who goes on without the secret is told of once a minute: of whom nothing was told for so long, that is mended. */
const strangerMsMax = 10 * 60_000

/** All that is wrong, in the order in which it should be mended. */
export function findingsOf(examined: readonly Examined[]): readonly Finding[] {
  return [
    ...examined.flatMap(ofPorts),
    ...examined.flatMap(({ member, said }) => (said === undefined ? [] : ofSecret(member.name, said))),
    ...examined.flatMap((one) => ofReach(one, examined)),
    ...ofClocks(examined),
    ...examined.flatMap(({ member, said }) => (said === undefined ? [] : ofDisk(member.name, said))),
    ...ofVersions(examined),
    ...ofRegistries(examined),
    ...examined.flatMap(({ member, said }) => (said === undefined ? [] : ofIdentity(member.name, said))),
  ]
}

function ofPorts({ member, silent }: Examined): readonly Finding[] {
  if (silent === undefined) return []
  const { name: peer, http } = member
  const { error, port } = silent
  const runs = port === 'open' ? ', but its port for peers does: it runs' : ', nor does its port for peers'
  const fix =
    port === 'open'
      ? 'open the port of its gateway, or say where that is: --advertise-http'
      : 'start it, or open its ports. If it is gone for good: grapevine forget'
  const what = `its gateway ${http || '(unknown)'} does not answer${runs}: ${error}`
  return [{ check: 'ports', severity: 'wrong', peer, what, fix }]
}

function ofSecret(peer: string, { self, links, strangers }: Said): readonly Finding[] {
  const refused = links.filter(({ lastError = '' }) => isSecret(lastError) || isCluster(lastError))
  const dialed = refused.map(({ name, lastError = '' }) => ({ who: name, reason: lastError }))
  // Both by the clock of that peer.
  const late = strangers.filter(({ time }) => Date.parse(self.now) - Date.parse(time) <= strangerMsMax)
  const arrived = late.flatMap(({ reason = '', address }) =>
    isSecret(reason) || isCluster(reason) ? [{ who: String(address), reason }] : [],
  )
  const seen = new Map([...arrived, ...dialed].map((one) => [`${one.who} ${one.reason}`, one]))
  return [...seen.values()].map(({ who, reason }) => ({
    check: 'secret',
    severity: 'wrong',
    peer,
    what: `${who} is not let in, or does not let it in: ${reason}`,
    fix: isSecret(reason)
      ? 'give both the same --secret-file; while it changes, both secrets on two lines'
      : 'start both with the same --cluster',
  }))
}

const isSecret = (reason: string): boolean => /secret/i.test(reason)
const isCluster = (reason: string): boolean => /cluster/i.test(reason) && !isSecret(reason)

function ofReach({ member, said }: Examined, examined: readonly Examined[]): readonly Finding[] {
  if (said === undefined) return []
  const others = said.members.filter(({ self, state }) => !self && state !== 'left')
  return others.flatMap((other): Finding[] => {
    const link = said.links.find(({ peer }) => peer === other.id)
    const isMissing = link !== undefined && link.state !== 'up' && (link.dialAttempts ?? 0) > 0
    if (other.state === 'alive' && !isMissing) return []
    const back = examined.find((one) => one.member.id === other.id)?.said
    const isOneWay = back?.members.find(({ id }) => id === member.id)?.state === 'alive' && other.state !== 'alive'
    const reason = link?.lastError ?? other.reason ?? 'no link'
    const direction = isOneWay ? ', which does reach it' : ''
    const what = `${other.state === 'alive' ? 'has no link to' : `calls ${other.state}`} ${other.name}${direction}: ${reason}`
    const severity = other.state === 'alive' ? 'note' : 'wrong'
    return [{ check: 'reach', severity, peer: member.name, what, fix: fixOfReach(reason, back !== undefined) }]
  })
}

function fixOfReach(reason: string, answers: boolean): string {
  if (reason.includes('lab mode')) return 'an experiment is under way; to end it: grapevine lab heal'
  return answers
    ? 'the peer runs: look at network, firewall and --advertise between the two'
    : 'see whether it runs; if it is gone for good: grapevine forget'
}

/** Against the middle of all, for the clock of this machine may be the wrong one. */
function ofClocks(examined: readonly Examined[]): readonly Finding[] {
  const clocks = examined.flatMap(({ member, said }) =>
    said === undefined ? [] : [{ name: member.name, ...said.clock }],
  )
  const sorted = clocks.map(({ aheadMs }) => aheadMs).toSorted((a, b) => a - b)
  const middleMs = sorted[(sorted.length - 1) >> 1] ?? 0
  return clocks.flatMap(({ name, aheadMs, offByMs }): Finding[] => {
    const byMs = aheadMs - middleMs
    if (Math.abs(byMs) - offByMs <= clockMsMax) return []
    const what = `its clock is ${(Math.abs(byMs) / 1_000).toFixed(1)} s ${byMs > 0 ? 'ahead of' : 'behind'} the others`
    return [{ check: 'clock', severity: 'wrong', peer: name, what, fix: 'run an NTP client, such as chrony, on it' }]
  })
}

function ofDisk(peer: string, { self: { disk }, totals }: Said): readonly Finding[] {
  const findings: Finding[] = []
  const fix = 'make room on the disk of --data, or shorten retention: grapevine topics set'
  if (disk !== undefined && (disk.full || totals.diskFull)) {
    const what = `its disk is full: ${mib(disk.freeBytes)} free, ${mib(disk.reserveBytes)} are kept for itself`
    findings.push({ check: 'disk', severity: 'wrong', peer, what, fix })
  } else if (disk !== undefined && disk.freeBytes < reservesMin * disk.reserveBytes) {
    const what = `its disk is full soon: ${mib(disk.freeBytes)} free, at ${mib(disk.reserveBytes)} publishes are refused`
    findings.push({ check: 'disk', severity: 'note', peer, what, fix })
  }
  const { damagedRecords, lostRecords } = totals
  if (damagedRecords === 0) return findings
  const what = `${damagedRecords} records on its disk are damaged, ${lostRecords} of them nobody else has`
  const mend = 'what others have is fetched again: see grapevine replication. Look at disk, cable and memory'
  return [...findings, { check: 'damage', severity: 'wrong', peer, what, fix: mend }]
}

const mib = (bytes: number): string => `${Math.round(bytes / (1024 * 1024)).toLocaleString('en-US')} MiB`

function ofVersions(examined: readonly Examined[]): readonly Finding[] {
  const versions = Map.groupBy(
    examined.filter(({ said }) => said !== undefined),
    ({ said }) => said?.self.version,
  )
  if (versions.size < 2) return []
  const most = [...versions].toSorted(([, a], [, b]) => b.length - a.length)[0]?.[0]
  return [...versions].flatMap(([version, some]) =>
    version === most
      ? []
      : some.map(({ member }): Finding => {
          const what = `it runs version ${version}, most run ${most}`
          return {
            check: 'version',
            severity: 'note',
            peer: member.name,
            what,
            fix: 'finish the upgrade: UPGRADING.md',
          }
        }),
  )
}

/** Who belongs, by the word of each; against what most say. */
function ofRegistries(examined: readonly Examined[]): readonly Finding[] {
  const told = examined.flatMap(({ member, said }) => (said === undefined ? [] : [{ name: member.name, said }]))
  const ids = new Map(
    told.flatMap(({ said }) => [...said.members, ...said.forgotten].map(({ id, name }) => [id, name])),
  )
  return [...ids].flatMap(([id, name]): Finding[] => {
    const byStatus = Map.groupBy(told, ({ said }) => statusAt(said, id))
    if (byStatus.size < 2) return []
    const words = [...byStatus].map(([status, some]) => `${status} for ${some.map((one) => one.name).join(', ')}`)
    const fix = 'wait for a heal, as the registry is joined then; if it stays so, restart one of those that differ'
    return [{ check: 'registry', severity: 'wrong', peer: name, what: `it is ${words.join('; ')}`, fix }]
  })
}

const statusAt = (said: Said, id: string): string =>
  [...said.members, ...said.forgotten].find((member) => member.id === id)?.status ?? 'unknown'

function ofIdentity(peer: string, { double, members }: Said): readonly Finding[] {
  const findings: Finding[] = []
  if (double !== undefined) {
    const what = `another process has its identity, at ${double.addresses.join(' ') || 'an unknown address'}`
    findings.push({
      check: 'identity',
      severity: 'wrong',
      peer,
      what,
      fix: 'stop one of them; to keep both, empty the data directory of one first',
    })
  }
  const isTaken = members.some(({ self, name }) => self && name.includes('~'))
  if (!isTaken) return findings
  const what = 'another member has its name: both show the end of their ids'
  return [...findings, { check: 'names', severity: 'note', peer, what, fix: 'give one of them another --name' }]
}
