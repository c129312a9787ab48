import { quantile } from '../bench/figures.ts'
import { eventually, sees } from '../integration/process-peer.ts'
import { Mesh } from '../netns/mesh.ts'
import { believedAfterMs, type Bound, say, spread } from './beliefs.ts'

export const ten = ['oak', 'elm', 'ash', 'fir', 'yew', 'bay', 'box', 'fig', 'may', 'nut'] as const
const knownMsMax = 2_000

/** One of ten after the other is killed and started again: when do all others know? */
export async function kills(rounds: number, profile = 'lan'): Promise<readonly Bound[]> {
  await using mesh = await Mesh.start(ten, profile)
  const known: number[] = []
  const dead: number[] = []
  for (let round = 0; round < rounds; round++) {
    const name = ten[round % ten.length] as string
    const others = mesh.peers.filter((peer) => peer.name !== name)
    const killedAtMs = performance.now()
    await mesh.peer(name).end('SIGKILL')
    await eventually(`all believe ${name} dead`, async () => {
      return (await Promise.all(others.map((peer) => sees(peer, [name], 'dead')))).every(Boolean)
    })
    known.push(...(await believedAfterMs(others, name, ['suspect', 'dead'], killedAtMs)))
    dead.push(...(await believedAfterMs(others, name, ['dead'], killedAtMs)))
    await mesh.restart(name)
    await mesh.allAlive()
    say(`${round + 1}: ${name}; known to the last ${spread(known)}`)
  }
  const what = `kill -9 of one of ${ten.length}, ${rounds} times, ${profile}`
  return [
    {
      what: `${what}: known (suspect) at each other`,
      value: spread(known),
      against: `bound: p99 < 2 s`,
      isKept: quantile(known, 0.99) < knownMsMax,
    },
    { what: `${what}: dead at each other`, value: spread(dead) },
  ]
}
