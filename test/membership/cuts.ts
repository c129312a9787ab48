import { membershipProfiles, type MembershipProfile } from '#protocol/membership/config'
import { seconds } from '../bench/figures.ts'
import { eventually } from '../integration/process-peer.ts'
import { Mesh } from '../netns/mesh.ts'
import { believedAfterMs, type Bound, say, spread } from './beliefs.ts'
import { ten } from './kills.ts'

/** One of ten is cut off silently: first suspicion, and dead everywhere, within what the profile promises. */
export async function cuts(rounds: number, profile = 'lan'): Promise<readonly Bound[]> {
  await using mesh = await Mesh.start(ten, profile)
  const suspected: number[] = []
  const dead: number[] = []
  for (let round = 0; round < rounds; round++) {
    const name = ten[round % ten.length] as string
    const names = ten.filter((other) => other !== name)
    const others = names.map((other) => mesh.peer(other))
    await mesh.network.cut([name], names)
    const cutAtMs = performance.now()
    await eventually(`all believe ${name} dead`, () => mesh.allSee(names, [name], 'dead'), 120_000)
    suspected.push(Math.min(...(await believedAfterMs(others, name, ['suspect'], cutAtMs))))
    dead.push(Math.max(...(await believedAfterMs(others, name, ['dead'], cutAtMs))))
    await mesh.network.heal()
    await mesh.allAlive()
    say(`${round + 1}: ${name}; dead everywhere ${spread(dead)}`)
  }
  const { probeIntervalMs, suspicionMult } = membershipProfiles[profile as MembershipProfile]
  // Nine look for it, each in one probe of nine: all miss it for three intervals once in twenty. Then all but a few confirm.
  const boundMs = 3 * probeIntervalMs + 2 * suspicionMult * probeIntervalMs
  const what = `one of ${ten.length} silent, ${rounds} times, ${profile}`
  return [
    { what: `${what}: first suspicion`, value: spread(suspected) },
    {
      what: `${what}: dead everywhere`,
      value: spread(dead),
      against: `bound: ${seconds(boundMs)}`,
      isKept: Math.max(...dead) <= boundMs,
    },
  ]
}
