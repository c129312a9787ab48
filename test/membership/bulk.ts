import { once } from 'node:events'
import { perSecond } from '../bench/figures.ts'
import { Mesh } from '../netns/mesh.ts'
import { accusationsSince, type Bound, say } from './beliefs.ts'
import { startLoad } from './load.ts'

/** All publish as fast as it goes, and all replicate: nobody is suspected for being busy. */
export async function bulk(runMs: number, profile = 'local'): Promise<readonly Bound[]> {
  await using mesh = await Mesh.start(['oak', 'elm', 'ash'], profile)
  await mesh.peer('oak').client.publish('orders', 'first', { ack: 'all' })
  const startMs = performance.now()
  await using work = startLoad([...mesh.peers, ...mesh.peers], { topics: ['orders'], perRequest: 1_000, pauseMs: 0 })
  await once(AbortSignal.timeout(runMs), 'abort')
  const accepted = await work.end()
  const tookMs = performance.now() - startMs
  const accusations = await accusationsSince(mesh.peers, startMs)
  for (const accusation of accusations) say(accusation)
  return [
    {
      what: `three peers publish and replicate at full rate, ${profile}: suspicions`,
      value: String(accusations.length),
      against: `${perSecond(accepted, tookMs)} for ${Math.round(tookMs / 1_000)} s, three copies each`,
      isKept: accusations.length === 0,
    },
  ]
}
