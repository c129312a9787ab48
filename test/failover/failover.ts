import { pause } from '#client/backoff'
import { Findings } from '#lab/ledger/findings'
import { isOk } from '#lab/ledger/history'
import { IndexedReading } from '#lab/ledger/indexed-reading'
import { Ledger, readAt } from '#lab/ledger/ledger'
import { publishFigures, type PublishFigures, type ReadingFigures, sumOf } from '#lab/ledger/sums'
import { judge } from '#lab/ledger/verdict'
import { quantile } from '../bench/figures.ts'
import { eventually, type ProcessPeer, sees, startMesh } from '../integration/process-peer.ts'
import { isConverged } from '../integration/topic-contents.ts'
import { Dice } from '../sim/dice.ts'
import { Publisher, Subscriber } from './clients.ts'

export interface FailoverConfig {
  readonly seed: number
  /** How often a peer is killed, in turn, and how often the mesh is split; every second time the one that is cut off is killed. */
  readonly kills: number
  readonly splits: number
  readonly directory: string
  readonly say: (line: string) => void
}

export interface FailoverReport {
  readonly seed: number
  readonly kills: number
  readonly splits: number
  readonly tookMs: number
  readonly publishes: PublishFigures
  readonly figures: ReadingFigures
  /** How often clients lost their server, and how long until something came of the next. */
  readonly resumed: { readonly count: number; readonly p50Ms: number; readonly p99Ms: number; readonly maxMs: number }
  readonly faults: Readonly<Record<string, Findings>>
}

const names = ['oak', 'elm', 'ash'] as const
const topics = ['orders', 'bills'] as const
const clientCount = 4
const endMsMax = 120_000

/**
 * Four publishers and four subscribers of the library over three peers that are killed and restarted in turn, and cut off from each other.
 * Each client is given one server. In the end what was acked is held against what each subscriber was given.
 */
export async function failover(config: FailoverConfig): Promise<FailoverReport> {
  const startMs = performance.now()
  const { seed, directory, say } = config
  await using started = new AsyncDisposableStack()
  const peers = await startMesh(directory, names)
  started.defer(async () => {
    for (const peer of peers) await peer[Symbol.asyncDispose]()
  })
  const ledger = new Ledger()
  const partsOf = (name: string, n: number) => {
    return { name, server: peers[n % peers.length]?.http ?? '', dice: new Dice(seed, name) }
  }
  const numbers = Array.from({ length: clientCount }, (_, n) => n)
  const publishers = await Promise.all(
    numbers.map((n) => Publisher.start(topics[n % topics.length] ?? '', partsOf(`publisher-${n}`, n))),
  )
  const subscribers = await Promise.all(numbers.map((n) => Subscriber.start(topics, partsOf(`subscriber-${n}`, n))))
  const stop = new AbortController()
  const end = new AbortController()
  const publishing = Promise.all(publishers.map((publisher) => publisher.run(ledger, stop.signal)))
  const reading = Promise.all(subscribers.map((subscriber) => subscriber.run(end.signal)))
  // Whatever ends early is told, not waited for.
  const failed = Promise.race([reading, publishing]).then(() => stop.signal.throwIfAborted())
  failed.catch(() => undefined)
  const unfinished = new Findings()
  try {
    await suffer(peers, config)
  } finally {
    stop.abort()
    await publishing
  }
  const acked = ledger.publishes.filter(isOk)
  say(`all is whole again after ${ledger.acked.toLocaleString('en')} acked records`)
  // What was not answered may be stored all the same: what there is to be given is what a peer that has everything gives.
  const finals = new Map<string, IndexedReading>()
  for (const topic of topics) {
    await eventually(`all hold the same of ${topic}`, () => isConverged(peers, topic), endMsMax)
    finals.set(topic, new IndexedReading(await readAt(peers[0] as ProcessPeer, topic)))
  }
  const there = [...finals.values()].reduce((sum, { records }) => sum + records.length, 0)
  const haveAll = (): Promise<boolean> => Promise.resolve(subscribers.every(({ records }) => records >= there))
  await eventually('all subscribers have all', haveAll, endMsMax).catch((error: unknown) =>
    unfinished.add(String(error)),
  )
  end.abort()
  await reading
  const verdicts = subscribers.flatMap(({ logs }) =>
    Array.from(logs, ([topic, log]) => {
      const final = finals.get(topic)
      return judge(ledger, log, final && { final })
    }),
  )
  const { faults, figures } = sumOf(verdicts)
  const resumed = [...publishers, ...subscribers].flatMap(({ resumptions }) => resumptions.tookMs)
  return {
    seed,
    kills: config.kills,
    splits: config.splits,
    tookMs: performance.now() - startMs,
    publishes: publishFigures(ledger.publishes),
    figures,
    resumed: resumedFigures(resumed),
    faults: {
      ...faults,
      unfinished,
      nothingAcked: acked.length === 0 ? oneFinding('nothing was acked') : new Findings(),
    },
  }
}

const resumedFigures = (tookMs: readonly number[]): FailoverReport['resumed'] => ({
  count: tookMs.length,
  p50Ms: quantile(tookMs, 0.5),
  p99Ms: quantile(tookMs, 0.99),
  maxMs: Math.max(...tookMs),
})

function oneFinding(what: string): Findings {
  const findings = new Findings()
  findings.add(what)
  return findings
}

/** Kills in turn, splits spread over them. Resolves when all peers are up and see each other. */
async function suffer(peers: ProcessPeer[], { seed, kills, splits, say }: FailoverConfig): Promise<void> {
  const dice = new Dice(seed, 'faults')
  const { signal } = new AbortController()
  let splitsDone = 0
  for (let kill = 0; kill < kills; kill++) {
    const index = kill % peers.length
    if (splitsDone < splits && kill * splits >= splitsDone * kills) {
      const cutOff = dice.whole(0, peers.length - 1)
      say(`split ${splitsDone + 1} of ${splits}: ${peers[cutOff]?.name} alone`)
      await cut(peers, cutOff)
      await pause(dice.magnitude(500, 4_000), signal)
      // Its clients go on at the other side, with publishes that it may have stored.
      if (splitsDone % 2 === 1) await killAndRestart(peers, cutOff, dice, say)
      for (const peer of peers) await peer.client.lab.heal()
      splitsDone++
    }
    say(`kill ${kill + 1} of ${kills}: ${peers[index]?.name}`)
    await killAndRestart(peers, index, dice, say)
    await allSeeAll(peers)
    await pause(dice.magnitude(100, 1_000), signal)
  }
  await allSeeAll(peers)
}

async function cut(peers: readonly ProcessPeer[], cutOff: number): Promise<void> {
  const alone = peers[cutOff] as ProcessPeer
  for (const peer of peers) {
    const others = peers.filter((other) => other !== peer && (peer === alone || other === alone))
    await peer.client.lab.drop(others.map(({ name }) => name))
  }
}

async function killAndRestart(
  peers: ProcessPeer[],
  index: number,
  dice: Dice,
  say: (line: string) => void,
): Promise<void> {
  const peer = peers[index] as ProcessPeer
  await peer.end('SIGKILL')
  await pause(dice.magnitude(50, 2_000), new AbortController().signal)
  const startMs = performance.now()
  peers[index] = await peer.restart()
  say(`${peer.name} is up again after ${Math.round(performance.now() - startMs)} ms`)
}

const allSeeAll = (peers: readonly ProcessPeer[]): Promise<void> =>
  eventually(
    'all see all alive',
    async () => {
      for (const peer of peers) if (!(await sees(peer, names, 'alive'))) return false
      return true
    },
    60_000,
  )
