import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ProcessPeer } from '#test/integration/process-peer'
import { PrometheusText } from '#test/prometheus-text'
import { type Finding, findingsMax, type FuzzOrder, type FuzzReport, printable, Tally } from './finding.ts'

/** Its heap, of which it needs less than 50 MiB: what is kept of each input, however little, ends the process. */
const heapMiBMax = 128

/** A real peer in its own process while it is fuzzed: what was found, and whether it is still well. */
export class PeerUnderFire {
  readonly peer: ProcessPeer
  readonly tally = new Tally()
  readonly #target: string
  readonly #findings: Finding[] = []
  readonly #untilMs: number

  constructor({ target, seconds = Number.POSITIVE_INFINITY }: Fire, peer: ProcessPeer) {
    this.#target = target
    this.#untilMs = performance.now() + seconds * 1_000
    this.peer = peer
  }

  get hasEnough(): boolean {
    return this.#findings.length >= findingsMax || performance.now() > this.#untilMs
  }

  found(index: number, what: string, input: Uint8Array = new Uint8Array(0)): void {
    this.#findings.push({ target: this.#target, index, what, input: printable(input) })
  }

  /** Throws when a good request is not served. */
  async serve(): Promise<void> {
    const { ids } = await this.peer.client.publishMany('good', [{ value: 'pears' }])
    const answer = await fetch(`${this.peer.http}/v1/topics/good/records/${ids[0]}`)
    const { value } = (await answer.json()) as { value?: string }
    if (value !== 'pears') throw new Error(`a good request is not served: ${answer.status}`)
  }

  /** Fires, and looks at the peer afterwards: it serves, and has made no mistake of its own. */
  async endure(fire: () => Promise<number>): Promise<FuzzReport> {
    const startedMs = performance.now()
    const before = await this.#figures()
    let after = before
    let inputs = 0
    try {
      inputs = await fire()
      await this.serve()
      after = await this.#figures()
      if (after.internal > 0) this.found(inputs, `${after.internal} answers were INTERNAL:\n${this.peer.log}`)
    } catch (error) {
      this.found(inputs, `it is not well any more: ${String(error)}\n${this.peer.log}`)
    }
    this.tally.counts['in the end: topics'] = after.topics
    return {
      target: this.#target,
      inputs,
      findings: this.#findings,
      seen: this.tally.counts,
      stallMs: after.stallMs,
      memoryMiB: { before: before.memoryMiB, after: after.memoryMiB },
      seconds: (performance.now() - startedMs) / 1_000,
    }
  }

  async #figures(): Promise<Figures> {
    const text = new PrometheusText(await (await fetch(`${this.peer.http}/metrics`)).text())
    const bytes = text.sum('nodejs_heap_size_used_bytes') + text.sum('nodejs_external_memory_bytes')
    const codes = text.labelValues('grapevine_gateway_problems_total', 'code')
    return {
      memoryMiB: Math.round(bytes / 1024 / 1024),
      topics: text.sum('grapevine_replication_topics'),
      internal: codes.includes('INTERNAL') ? text.sum('grapevine_gateway_problems_total', { code: 'INTERNAL' }) : 0,
      stallMs: stallOf(text),
    }
  }
}

interface Figures {
  readonly memoryMiB: number
  readonly topics: number
  readonly internal: number
  readonly stallMs: number
}

/** Upper end of the highest bucket of event-loop delays that has any. */
function stallOf(text: PrometheusText): number {
  const name = 'grapevine_node_event_loop_delay_seconds_bucket'
  const buckets = text.labelValues(name, 'le').map((le) => ({ le, count: text.sum(name, { le }) }))
  const all = Math.max(...buckets.map(({ count }) => count))
  const reaching = buckets.filter(({ count }) => count === all).map(({ le }) => (le === '+Inf' ? Infinity : Number(le)))
  return Math.min(...reaching) * 1_000
}

interface Fire extends Pick<FuzzOrder, 'seconds'> {
  readonly target: string
}

export async function underFire(order: Fire, fuzz: (peer: PeerUnderFire) => Promise<FuzzReport>): Promise<FuzzReport> {
  const directory = await mkdtemp(join(tmpdir(), 'grapevine-fuzz-'))
  const within = ['env', `NODE_OPTIONS=--max-old-space-size=${heapMiBMax}`]
  const peer = await ProcessPeer.start({ name: 'oak', data: `${directory}/oak`, within })
  try {
    return await fuzz(new PeerUnderFire(order, peer))
  } finally {
    await peer[Symbol.asyncDispose]()
    await rm(directory, { recursive: true, force: true })
  }
}
