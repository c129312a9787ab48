import type { GatewayLoad } from '#gateway/metrics'
import { type GatewayBound, gatewayBounds } from '#gateway/overload'
import { errorCatalogue, type ErrorCode } from '#protocol/errors'
import type { PublishFigures } from '../broker.ts'
import type { DriverBuffers } from '../driver.ts'
import { type FigureMaker, secondsBuckets } from './figure.ts'

const levels = ['local', 'n', 'majority', 'all'] as const
const outcomes = ['reached', 'unreached', 'refused'] as const

/** Publishes: how many, how large, how long. */
export function publishFigures(make: FigureMaker) {
  const publishes = make.counter(
    {
      name: 'grapevine_node_publishes_total',
      help: 'Publishes by ack level and outcome. Many unreached: copies come too late, look at links and lag. Refused: see problems.',
    },
    ['level', 'outcome'],
    levels.flatMap((level) => outcomes.map((outcome) => ({ level, outcome }))),
  )
  const records = make.counter({ name: 'grapevine_node_published_records_total', help: 'Records accepted here.' })
  const bytes = make.counter({
    name: 'grapevine_node_published_bytes_total',
    help: 'Bytes of the records accepted here, keys and headers included.',
  })
  const seconds = make.histogram(
    {
      name: 'grapevine_node_publish_seconds',
      help: 'From a whole request to its answer, of accepted publishes. High for local: the disk; for others: the slowest copy.',
      buckets: secondsBuckets(0.000_5, 50),
    },
    ['level'],
  )
  const pending = make.gauge({
    name: 'grapevine_node_pending_publishes',
    help: 'Publishes that wait for the disk of this peer. Near 16384 further ones are refused as OVERLOADED.',
  })
  const pendingBytes = make.gauge({
    name: 'grapevine_node_pending_publish_bytes',
    help: 'Bytes of those publishes. Near 64 MiB further ones are refused as OVERLOADED: the disk is too slow.',
  })
  const waiting = make.gauge({
    name: 'grapevine_replication_waiting_publishes',
    help: 'Publishes in a batch that have no answer yet, mostly for want of copies. Near 16384 further ones are told at once how far they got.',
  })
  return {
    published: (publish: PublishFigures): void => {
      const level = publish.level === 'count' || publish.level === 'both' ? 'n' : publish.level
      publishes.inc({ level, outcome: publish.outcome })
      if (publish.outcome === 'refused') return
      records.inc(publish.records)
      bytes.inc(publish.bytes)
      seconds.observe({ level }, publish.tookMs / 1_000)
    },
    collect: ({ unsyncedPublishes, unsyncedBytes, waitingPublishes }: DriverBuffers): void => {
      pending(unsyncedPublishes)
      pendingBytes(unsyncedBytes)
      waiting(waitingPublishes)
    },
  }
}

const errorCodes = Object.keys(errorCatalogue) as ErrorCode[]

/** Other methods are counted together: who invents some does not make series. */
const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS'])

/** What the gateway sees of its clients. */
export function gatewayFigures(make: FigureMaker) {
  const requests = make.counter(
    {
      name: 'grapevine_gateway_requests_total',
      help: 'HTTP requests by method and status; aborted: the client went before its answer. 5xx: see problems.',
    },
    ['method', 'status'],
  )
  const problems = make.counter(
    {
      name: 'grapevine_gateway_problems_total',
      help: 'Errors told to clients, by code. OVERLOADED: add peers or slow down; INTERNAL: a bug, look into the log.',
    },
    ['code'],
    errorCodes.filter((code) => errorCatalogue[code].status !== 0).map((code) => ({ code })),
  )
  const refusals = make.counter(
    {
      name: 'grapevine_gateway_refusals_total',
      help: 'Clients refused, or connections cut, by the bound that was met: docs/limits.md. Rate, connections-of-client: one client wants too much; others: more peers, or higher bounds.',
    },
    ['bound'],
    gatewayBounds.map((bound) => ({ bound })),
  )
  const readRecords = make.counter({
    name: 'grapevine_node_read_records_total',
    help: 'Records read from the log for clients.',
  })
  const liveReads = make.shownGauge(
    {
      name: 'grapevine_gateway_live_reads',
      help: 'Clients that wait for records: streams, long-polls, WebSocket subscriptions. From 4096 on further ones are refused.',
    },
    ['kind'],
  )
  const connections = make.gauge({
    name: 'grapevine_gateway_connections',
    help: 'Open connections of clients, WebSockets among them. Near --max-connections further ones are refused.',
  })
  const arriving = make.gauge({
    name: 'grapevine_gateway_arriving_bytes',
    help: 'Bytes of request bodies that are arriving. Near 64 MiB further ones are refused: slow clients with large bodies.',
  })
  const unsent = make.gauge({
    name: 'grapevine_gateway_unsent_bytes',
    help: 'Bytes of answers, streams and frames that clients have not taken yet. Beyond 256 MiB the slowest connections are cut.',
  })
  const underWay = make.gauge({
    name: 'grapevine_gateway_requests_under_way',
    help: 'Requests without a whole answer, streams and long-polls among them.',
  })
  return {
    answered: (method: string, status: number | 'aborted'): void => {
      requests.inc({ method: methods.has(method) ? method : 'other', status })
    },
    refused: (code: ErrorCode, bound?: GatewayBound): void => {
      problems.inc({ code })
      if (bound !== undefined) refusals.inc({ bound })
    },
    cut: (bound: GatewayBound): void => refusals.inc({ bound }),
    read: (records: number): void => readRecords.inc(records),
    collect: (load: GatewayLoad): void => {
      liveReads(Object.entries(load.liveReads).map(([kind, count]) => [{ kind }, count]))
      connections(load.connections)
      arriving(load.arrivingBytes)
      unsent(load.unsentBytes)
      underWay(load.requests)
    },
  }
}
