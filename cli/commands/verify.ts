import { Command, Option } from 'commander'
import { pause } from '#client/backoff'
import { MeshError } from '#protocol/errors'
import type { ReplicaStatus } from '#protocol/views'
import type { Mesh } from '#client/mesh'
import { type Access, formatOf, withClientOptions, type ClientOptions, type Context } from '../context.ts'
import { compareHoldings, type Agreement, type Comparison, type Holding } from '../convergence.ts'
import { durationMsOf } from '../duration.ts'
import { everyMember, type MemberGateway } from '../every-member.ts'
import { counted, writeRows } from '../output.ts'
import { say, type Style, warn } from '../terminal.ts'

const help = `
Asks every member of the mesh at its own gateway for the heads and hashes of its
feeds and compares those of each topic's home: the members that keep it. What
anybody else has, such as a writer that is not at home, counts as missing until
home has it; what is damaged, if it is whole elsewhere. Exit code 0 only if all
members answer and each topic is the same throughout its home; 4 if not. Members
that have left the mesh (they said good-bye, as at Ctrl-C) are not asked; they
are named on stderr. While records are published there is always a lag
somewhere: --wait asks again until all are equal.

Examples:
  $ grapevine verify
  $ grapevine verify orders --wait 30s`

interface VerifyOptions extends ClientOptions {
  readonly wait: number
}

/** How often a mesh that is not there yet is asked again. */
const askAgainMs = 250

export function verifyCommand(context: Context): Command {
  return withClientOptions(new Command('verify'))
    .description('check that all who keep a topic hold the same records')
    .argument('[topics...]', 'default: every topic that any member knows')
    .addOption(
      new Option('-w, --wait <duration>', 'how long to wait for that').argParser(durationMsOf).default(0, '0s'),
    )
    .addHelpText('after', help)
    .action(async (topics: readonly string[], options: VerifyOptions) => {
      const { terminal } = context
      const deadlineMs = performance.now() + options.wait
      let { rows, left } = await survey(context, options, topics)
      while (!rows.every(isEqual) && performance.now() < deadlineMs) {
        await pause(askAgainMs, terminal.stop)
        ;({ rows, left } = await survey(context, options, topics))
      }
      await writeRows(terminal, formatOf(context, options), rows, columns)
      for (const name of left) warn(terminal, `${name} has left the mesh and was not asked`)
      if (!rows.every(isEqual)) throw new MeshError('NOT_CONVERGED', complaintOf(rows))
      const [topicCount, peerCount] = [countOf(rows, 'topic'), countOf(rows, 'peer')]
      say(terminal, `converged: ${counted(peerCount, 'peer')} hold the same records of ${counted(topicCount, 'topic')}`)
    })
}

interface Row extends Comparison {
  readonly topic: string
}

const isEqual = (row: Row): boolean => row.agreement === 'equal'

interface Survey {
  readonly rows: readonly Row[]
  /** Names of members that were not asked. */
  readonly left: readonly string[]
}

async function survey(context: Context, access: Access, wanted: readonly string[]): Promise<Survey> {
  const { present: members, left } = await everyMember(context, access)
  const signal = context.terminal.stop
  try {
    const topics = wanted.length > 0 ? wanted : await allTopics(members, signal)
    // A member without any topic to compare still has to answer.
    const unreachable = members.filter(({ error }) => error !== undefined && topics.length === 0)
    const rows = await Promise.all(topics.map((topic) => compareTopic(topic, members, signal)))
    const silentRows = unreachable.map(({ member }) => ({ ...silent(member.name), topic: '-' }))
    return { rows: [...rows.flat(), ...silentRows], left: left.map(({ name }) => name) }
  } finally {
    for (const { mesh } of members) mesh?.close()
  }
}

const silent = (peer: string): Comparison => ({ peer, agreement: 'unreachable', records: 0, lag: 0 })

async function allTopics(members: readonly MemberGateway[], signal: AbortSignal): Promise<string[]> {
  const lists = await Promise.all(members.map(async ({ mesh }) => (await mesh?.topics({ signal })) ?? []))
  return [...new Set(lists.flat().map(({ topic }) => topic))].sort()
}

async function compareTopic(topic: string, members: readonly MemberGateway[], signal: AbortSignal): Promise<Row[]> {
  const told = await Promise.all(
    members.map(async ({ member, mesh }) => {
      return { member, replicas: mesh === undefined ? undefined : await replicasAt(mesh, topic, signal) }
    }),
  )
  // Who is at home by anybody's word: members may not agree yet on who belongs to the mesh.
  const home = new Set(
    told.flatMap(({ replicas = [] }) => replicas.flatMap((r) => (r.role === 'home' ? [r.peer] : []))),
  )
  const holdings = told.map(({ member, replicas }): Holding => {
    const heads = replicas && (replicas.find(({ peer }) => peer === member.id)?.feeds ?? [])
    return { peer: member.name, heads, atHome: home.has(member.id) }
  })
  if (holdings.every(({ heads }) => heads?.length === 0))
    throw new MeshError('TOPIC_NOT_FOUND', `no member knows ${topic}`)
  // Who does not answer may have accepted what nobody else has, at home or not.
  const silentOthers = holdings.filter(({ heads, atHome }) => heads === undefined && !atHome)
  const comparisons = [...compareHoldings(holdings), ...silentOthers.map(({ peer }) => silent(peer))]
  return comparisons.map((comparison) => ({ topic, ...comparison }))
}

/** What the peer knows of who holds the topic; nobody if it has not heard of it, undefined if it does not answer any more. */
async function replicasAt(
  mesh: Mesh,
  topic: string,
  signal: AbortSignal,
): Promise<readonly ReplicaStatus[] | undefined> {
  try {
    return (await mesh.topicStatus(topic, { signal })).replicas
  } catch (error) {
    if (!(error instanceof MeshError)) throw error
    if (error.code === 'TOPIC_NOT_FOUND') return []
    if (error.code === 'UNAVAILABLE') return undefined
    throw error
  }
}

const countOf = (rows: readonly Row[], what: 'topic' | 'peer'): number => new Set(rows.map((row) => row[what])).size

/** `orders: ash lacks 12 records; orders: elm does not answer` */
function complaintOf(rows: readonly Row[]): string {
  const words: Record<Agreement, (row: Row) => string> = {
    equal: () => '',
    behind: (row) => `${row.peer} lacks ${counted(row.lag, 'record')}`,
    differs: (row) => `${row.peer} has other bytes than the others`,
    unreachable: (row) => `${row.peer} does not answer`,
  }
  return rows
    .filter((row) => !isEqual(row))
    .map((row) => `${row.topic}: ${words[row.agreement](row)}`)
    .join('; ')
}

const styles: Readonly<Record<Agreement, Style>> = {
  equal: 'green',
  behind: 'yellow',
  differs: 'red',
  unreachable: 'red',
}

const columns = [
  { title: 'topic', of: (row: Row) => row.topic },
  { title: 'peer', of: (row: Row) => row.peer, style: () => 'bold' as const },
  { title: 'state', of: (row: Row) => row.agreement, style: (row: Row) => styles[row.agreement] },
  { title: 'records', of: (row: Row) => (row.agreement === 'unreachable' ? '-' : row.records) },
  { title: 'lag', of: (row: Row) => (row.agreement === 'unreachable' ? '-' : row.lag) },
]
