import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { megabytes, percent } from '../bench/figures.ts'
import { memoryOf } from '../bench/process-figures.ts'
import type { ProcessPeer } from '../integration/process-peer.ts'
import { eventually, sees } from '../integration/process-peer.ts'
import { Mesh } from '../netns/mesh.ts'
import { type Bound, say } from './beliefs.ts'
import { startLoad } from './load.ts'

const stay = ['oak', 'elm', 'ash'] as const
const change = ['fir', 'yew', 'bay', 'box', 'fig'] as const
const everyMs = 10_000
/** On SIGUSR2 a peer collects all garbage and tells what is left: without that, memory says how lazy the collector is. */
const heapOnSignal = [
  '--expose-gc',
  `--import=data:text/javascript,${encodeURIComponent(
    "process.on('SIGUSR2',()=>{gc();const{heapUsed,external}=process.memoryUsage();console.error('heap',heapUsed+external,Date.now())})",
  )}`,
]
/** Of the whole time: what grows in it is a cache that fills. */
const warmUpShare = 1 / 3
const warmSamplesMin = 3
const growthMax = 0.15

/** Every ten seconds one of eight goes, by SIGTERM and kill -9 in turn, or comes back; what do the three that stay keep of it? */
export async function churn(runMs: number, profile = 'lan'): Promise<readonly Bound[]> {
  await using mesh = await Mesh.start([...stay, ...change], profile, { nodeOptions: heapOnSignal })
  const staying = stay.map((name) => mesh.peer(name))
  await using work = startLoad(staying, { topics: ['orders', 'stock'], perRequest: 5, pauseMs: 250 })
  const gone: string[] = []
  const samples: (readonly Sample[])[] = []
  const startMs = performance.now()
  for (let turn = 0; performance.now() - startMs < runMs; turn++) {
    const name = change[turn % change.length] as string
    // Ten turns are a cycle: five go one by one, five come back, so that there are eight now and then.
    if (gone.includes(name)) {
      await mesh.restart(name)
      gone.splice(gone.indexOf(name), 1)
    } else {
      await mesh.peer(name).end(turn % 2 === 0 ? 'SIGTERM' : 'SIGKILL')
      gone.push(name)
    }
    await once(AbortSignal.timeout(everyMs), 'abort')
    if (gone.length > 0) continue
    const sample = await Promise.all(staying.map(sampleOf))
    samples.push(sample)
    const minutes = ((performance.now() - startMs) / 60_000).toFixed(1)
    say(`${minutes} min: ${sample.map(textOf).join('; ')}`)
  }
  for (const name of gone) await mesh.restart(name)
  await eventually('all see all alive', async () => {
    return (await Promise.all(staying.map((peer) => sees(peer, mesh.names, 'alive')))).every(Boolean)
  })
  const published = await work.end()
  const warm = samples.slice(Math.ceil(samples.length * warmUpShare))
  const [first, last] = [warm.at(0), warm.at(-1)]
  // Of one sample the growth is nothing whatever it holds, and of two it is chance.
  if (first === undefined || last === undefined || warm.length < warmSamplesMin)
    throw new Error('too short a time to say anything')
  const warnings = staying.flatMap(({ log }) => log.split('\n').filter((line) => line.includes('MaxListeners')))
  const growth = Math.max(...last.map(({ heap }, i) => heap / (first[i]?.heap ?? heap) - 1))
  const moreFiles = Math.max(...last.map(({ files }, i) => files - (first[i]?.files ?? files)))
  return [
    {
      what: 'churn: what the three that stay have in use after a collection, from warm-up to end',
      value: last.map(({ heap }, i) => `${megabytes(first[i]?.heap ?? 0)} → ${megabytes(heap)}`).join(', '),
      against: `grows by ${percent(growth)} at most; ${published} records meanwhile`,
      isKept: growth <= growthMax,
    },
    {
      what: 'churn: resident memory of those',
      value: last.map(({ rss }, i) => `${megabytes(first[i]?.rss ?? 0)} → ${megabytes(rss)}`).join(', '),
    },
    {
      what: 'churn: open files and sockets of those',
      value: last.map(({ files }, i) => `${first[i]?.files ?? 0} → ${files}`).join(', '),
      against: 'with all eight up',
      isKept: moreFiles <= change.length,
    },
    { what: 'churn: warnings of leaking listeners', value: String(warnings.length), isKept: warnings.length === 0 },
  ]
}

interface Sample {
  readonly name: string
  /** In use after a collection, buffers outside of V8's heap included. */
  readonly heap: number
  readonly rss: number
  readonly files: number
}

async function sampleOf(peer: ProcessPeer): Promise<Sample> {
  const { now: rss } = await memoryOf(peer.pid)
  const heap = await heapOf(peer)
  const files = (await readdir(`/proc/${peer.pid}/fd`)).length
  return { name: peer.name, heap, rss, files }
}

async function heapOf(peer: ProcessPeer): Promise<number> {
  const told = (): string | undefined => peer.log.split('\n').findLast((line) => line.startsWith('heap '))
  const before = told()
  peer.signal('SIGUSR2')
  await eventually(`${peer.name} tells of its heap`, () => Promise.resolve(told() !== before))
  return Number(told()?.split(' ')[1])
}

const textOf = ({ name, heap, rss, files }: Sample): string =>
  `${name} ${megabytes(heap)} of heap, ${megabytes(rss)} RSS, ${files} files`
