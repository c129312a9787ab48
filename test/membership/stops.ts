import { once } from 'node:events'
import { seconds } from '../bench/figures.ts'
import { homeHoldings } from '#lab/ledger/home-holdings'
import { checkEqual } from '#lab/ledger/checkers/equality'
import { eventually } from '../integration/process-peer.ts'
import { Mesh } from '../netns/mesh.ts'
import { accusationsSince, type Bound, say } from './beliefs.ts'
import { startLoad } from './load.ts'

const names = ['oak', 'elm', 'ash', 'fir', 'yew'] as const
const topics = ['orders', 'payments', 'stock', 'audit']
const stopMs = 10_000

/** A process that is stopped for ten seconds is suspected, says that it lives, and no topic has another home for it. */
export async function stops(rounds: number, profile = 'lan'): Promise<readonly Bound[]> {
  await using mesh = await Mesh.start(names, profile)
  for (const topic of topics) await mesh.peer('oak').client.publish(topic, 'first', { ack: 'all' })
  const homes = await homesOf(mesh)
  const back: number[] = []
  let suspicions = 0
  let others = 0
  let moved = 0
  for (let round = 0; round < rounds; round++) {
    const name = names[round % names.length] as string
    const running = mesh.peers.filter((peer) => peer.name !== name)
    await using work = startLoad(running, { topics, perRequest: 10, pauseMs: 50 })
    const startMs = performance.now()
    mesh.peer(name).signal('SIGSTOP')
    await once(AbortSignal.timeout(stopMs), 'abort')
    mesh.peer(name).signal('SIGCONT')
    const goesOnAtMs = performance.now()
    await mesh.allAlive()
    back.push(performance.now() - goesOnAtMs)
    const published = await work.end()
    const accusations = await accusationsSince(mesh.peers, startMs)
    suspicions += accusations.filter((text) => text.includes(`believes ${name} suspect`)).length
    const wrong = accusations.filter((text) => !text.includes(`believes ${name} `))
    for (const text of wrong) say(text)
    others += wrong.length
    if (JSON.stringify(await homesOf(mesh)) !== JSON.stringify(homes)) moved++
    await eventually('all homes hold the same', async () => {
      return checkEqual(await homeHoldings(mesh.peers, topics)).count === 0
    })
    say(`${round + 1}: ${name}; ${accusations.length} accusations, ${published} records meanwhile`)
  }
  const what = `SIGSTOP of one of five for 10 s under load, ${rounds} times, ${profile}`
  return [
    { what: `${what}: alive everywhere again`, value: seconds(Math.max(...back)), against: 'at most, after SIGCONT' },
    { what: `${what}: suspicions of it`, value: String(suspicions), isKept: suspicions >= rounds },
    { what: `${what}: suspicions of others`, value: String(others), isKept: others === 0 },
    { what: `${what}: topics whose home changed`, value: String(moved), isKept: moved === 0 },
  ]
}

/** Which peers have which topic at home, by what each of them says. */
async function homesOf(mesh: Mesh): Promise<readonly string[]> {
  const holdings = await homeHoldings(mesh.peers, topics)
  return holdings.map(({ topic, peer }) => `${topic} at ${peer}`)
}
