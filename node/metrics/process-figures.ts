import { readdir } from 'node:fs/promises'
import { performance } from 'node:perf_hooks'
import type { SelfView } from '#protocol/views'
import { type FigureMaker, secondsBuckets } from './figure.ts'

/** The usual names of Prometheus' own libraries, so that dashboards find them. */
export function processFigures(make: FigureMaker) {
  const cpu = make.total({
    name: 'process_cpu_seconds_total',
    help: 'CPU time of all threads, user and system. Rate 1 is a whole core; idle is below 0.01.',
  })
  const memory = make.gauge({ name: 'process_resident_memory_bytes', help: 'Resident memory. Idle: about 150 MB.' })
  const heap = make.gauge({
    name: 'nodejs_heap_size_used_bytes',
    help: 'JavaScript objects. Rising over days: many feeds and topics, or a leak.',
  })
  const external = make.gauge({
    name: 'nodejs_external_memory_bytes',
    help: 'Buffers outside the heap: batches, sockets.',
  })
  const fds = make.gauge({
    name: 'process_open_fds',
    help: 'Open files and sockets (Linux). Near the limit of the process, clients and peers cannot connect.',
  })
  const started = make.gauge({
    name: 'process_start_time_seconds',
    help: 'Start, in seconds since 1970. Changing: it restarts.',
  })
  return {
    collect: (openFds: number): void => {
      const { user, system } = process.cpuUsage()
      const usage = process.memoryUsage()
      cpu((user + system) / 1e6)
      memory(usage.rss)
      heap(usage.heapUsed)
      external(usage.external)
      fds(openFds)
      started(performance.timeOrigin / 1_000)
    },
  }
}

/** NaN where the system does not say. */
export async function openFileDescriptors(): Promise<number> {
  const names = await readdir('/proc/self/fd').catch(() => undefined)
  return names?.length ?? Number.NaN
}

export function infoFigure(make: FigureMaker): (self: SelfView) => void {
  const info = make.shownGauge({ name: 'grapevine_node_info', help: 'Always 1; the labels say who this is.' }, [
    'name',
    'peer',
    'cluster',
    'version',
    'storage',
  ])
  return ({ name, peerId: peer, cluster, version, storage }) => {
    info([[{ name, peer, cluster, version, storage }, 1]])
  }
}

const sampleIntervalMs = 100

/**
 * How late a timer comes that is due every 100 ms: what any callback had to wait. A histogram, and not the monitor of
 * `perf_hooks`, whose quantiles cover all time unless it is reset, and then belong to whoever scraped last.
 */
export function eventLoopFigures(make: FigureMaker) {
  const delay = make.histogram({
    name: 'grapevine_node_event_loop_delay_seconds',
    help: 'How late timers are, ten samples a second. Above 0.05: everything waits, probes of this peer too; less load, or more peers.',
    buckets: secondsBuckets(0.002, 5),
  })
  const active = make.total({
    name: 'grapevine_node_event_loop_active_seconds_total',
    help: 'Time that the event loop was busy. Rate near 1: the one thread that decides is the limit.',
  })
  let dueMs = performance.now() + sampleIntervalMs
  const timer = setInterval(() => {
    const nowMs = performance.now()
    delay.observe(Math.max(0, nowMs - dueMs) / 1_000)
    dueMs = nowMs + sampleIntervalMs
  }, sampleIntervalMs).unref()
  return {
    collect: (): void => active(performance.eventLoopUtilization().active / 1_000),
    stop: (): void => clearInterval(timer),
  }
}
