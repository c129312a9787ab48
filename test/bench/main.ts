import { execFileSync } from 'node:child_process'
import { cpus, totalmem } from 'node:os'
import { parseArgs } from 'node:util'
import { basics, posts, throughputs } from './basics.ts'
import { type Figure, tableOf } from './figures.ts'
import { finishedFeeds } from './finished-feeds.ts'
import { following } from './following.ts'
import { idleTopics } from './idle-topics.ts'
import { longSplit } from './long-split.ts'
import { manyTopics } from './many-topics.ts'
import { fanOut, idleSockets } from './sockets.ts'
import { start } from './start.ts'

/**
 * The figures of this version on this machine, as a table. Three peers as processes on loopback; each figure stands beside
 * something measured in the same run, since absolute times say little elsewhere.
 *
 *   npm run bench [-- --seconds 5]                      idle, throughput, latency, HTTP
 *   npm run bench -- throughput                         of these, throughput alone
 *   npm run bench -- http                             … and HTTP alone
 *   npm run bench -- split [--records 1000000]          so many records on each side of a split, and the heal
 *   npm run bench -- idle-topics [--topics 10000]       as many topics in which nothing happens, and one record
 *   npm run bench -- many-topics [--topics 1000]        as many topics written at once
 *   npm run bench -- start [--megabytes 1000]           how soon a peer with so much log is ready
 *   npm run bench -- finished-feeds [--feeds 10000]     … and one with so many feeds of epochs that are over
 *   npm run bench -- fan-out [--sockets 1000]           a topic with so many WebSocket subscribers
 *   npm run bench -- idle-sockets [--sockets 10000]     as many WebSockets in which nothing happens
 *   npm run bench -- following [--megabytes 100]         reading where a topic is not kept, and where it is
 *
 * `--profiles DIRECTORY`: leaves a CPU profile of each peer there, to be opened by a browser's developer tools.
 */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string' },
    records: { type: 'string' },
    topics: { type: 'string' },
    megabytes: { type: 'string' },
    feeds: { type: 'string' },
    bytes: { type: 'string' },
    sockets: { type: 'string' },
    profiles: { type: 'string' },
  },
})
const number = (text: string | undefined, otherwise: number): number => Number(text ?? otherwise)
const { profiles } = values
const runMs = number(values.seconds, 5) * 1_000

const benches: Readonly<Record<string, () => Promise<readonly Figure[]>>> = {
  basics: () => basics(runMs, profiles),
  http: () => posts(runMs, profiles),
  throughput: () => throughputs(runMs, profiles),
  split: () => longSplit(number(values.records, 1_000_000), profiles),
  'idle-topics': () => idleTopics(number(values.topics, 10_000), profiles),
  start: () => start(number(values.megabytes, 1_000) * 2 ** 20),
  'finished-feeds': () => finishedFeeds(number(values.feeds, 10_000), number(values.bytes, 200)),
  following: () => following(number(values.megabytes, 100) * 2 ** 20, profiles),
  'fan-out': () => fanOut(number(values.sockets, 1_000), runMs),
  'idle-sockets': () => idleSockets(number(values.sockets, 10_000)),
  'many-topics': () => manyTopics(number(values.topics, 1_000), number(values.seconds, 20) * 1_000, profiles),
}

const [name = 'basics'] = positionals
const bench = benches[name]
if (bench === undefined) throw new Error(`no bench is called ${name}: ${Object.keys(benches).join(', ')}`)
process.stdout.write(`${machine()}\n\n${tableOf(await bench())}\n`)

function machine(): string {
  const [cpu] = cpus()
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
  return `${cpus().length} × ${cpu?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}, commit ${commit}`
}
