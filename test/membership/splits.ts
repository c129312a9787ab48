import { membershipProfiles, type MembershipProfile } from '#protocol/membership/config'
import { once } from 'node:events'
import { seconds } from '../bench/figures.ts'
import { eventually } from '../integration/process-peer.ts'
import { isConverged } from '../integration/topic-contents.ts'
import { Mesh } from '../netns/mesh.ts'
import { type Bound, say, spread } from './beliefs.ts'

const [left, right] = [
  ['oak', 'elm'],
  ['ash', 'fir', 'yew'],
] as const
const healedMsMax = 30_000
const perSide = 100

/** Two of five, for three times as long as the longest timeout, again and again: each heal is over soon. */
export async function splits(rounds: number, profile = 'local'): Promise<readonly Bound[]> {
  await using mesh = await Mesh.start([...left, ...right], profile)
  await mesh.peer('oak').client.createTopic('orders', { replicas: 5 })
  const config = membershipProfiles[profile as MembershipProfile]
  const { probeIntervalMs, suspicionMult, suspicionMaxMult, dialTimeoutMs, dialBackoffMsMax, pushPullIntervalMs } =
    config
  const longestMs = Math.max(
    suspicionMult * suspicionMaxMult * probeIntervalMs,
    dialTimeoutMs,
    dialBackoffMsMax,
    pushPullIntervalMs,
  )
  const splitMs = 3 * longestMs
  const alive: number[] = []
  const converged: number[] = []
  for (let round = 0; round < rounds; round++) {
    await mesh.network.cut(left, right)
    await Promise.all([left, right].map((side) => publish(mesh, side)))
    await once(AbortSignal.timeout(splitMs), 'abort')
    if (!(await mesh.allSee(left, right, 'dead')) || !(await mesh.allSee(right, left, 'dead')))
      throw new Error('somebody is not believed dead after three times every timeout')
    await mesh.network.heal()
    const healedAtMs = performance.now()
    const sinceHeal = (): number => performance.now() - healedAtMs
    await Promise.all([
      mesh.allAlive().then(() => alive.push(sinceHeal())),
      eventually('all hold the same', () => isConverged(mesh.peers, 'orders')).then(() => converged.push(sinceHeal())),
    ])
    say(`${round + 1}: all alive ${spread(alive)}; converged ${spread(converged)}`)
  }
  const what = `split of five for ${seconds(splitMs)}, ${rounds} times, ${profile}`
  const against = `bound: ${seconds(healedMsMax)} after the heal`
  return [
    { what: `${what}: all alive`, value: spread(alive), against, isKept: Math.max(...alive) < healedMsMax },
    { what: `${what}: same bytes`, value: spread(converged), against, isKept: Math.max(...converged) < healedMsMax },
  ]
}

async function publish(mesh: Mesh, side: readonly string[]): Promise<void> {
  for (let i = 0; i < perSide; i++) {
    const at = mesh.peer(side[i % side.length] as string)
    const { reached } = await at.client.publish('orders', `${at.name} ${i}`)
    if (!reached) throw new Error(`${at.name} did not accept a record`)
  }
}
