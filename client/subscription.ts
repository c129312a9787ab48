import { MeshError } from '#protocol/errors'
import { fullJitterMs, pause, type Backoff } from './backoff.ts'
import { eventsOf } from './event-source.ts'
import { errorOfProblem } from './problem.ts'
import { ReceivedRecord, type RecordJson } from './record.ts'
import type { Servers } from './servers.ts'
import type { SseEvent } from './sse.ts'

/** What a live read tells, in the order it happens. */
export type StreamItem =
  | { readonly type: 'record'; readonly record: ReceivedRecord }
  /** Everything that this peer held has been told; what follows is live. */
  | { readonly type: 'caught-up'; readonly cursor: string }
  /** Records that are late, or lost to retention, with their ranges as the peer says them. */
  | { readonly type: 'gap'; readonly cursor: string; readonly gap: unknown }
  /** The stream broke or is not there yet. It goes on from its cursor after `retryInMs`, maybe at another server. */
  | { readonly type: 'interrupted'; readonly error: MeshError; readonly retryInMs: number }

export interface StreamConfig {
  readonly topic: string
  /** `earliest`, `latest` or a cursor. */
  readonly from: string
  readonly signal: AbortSignal
  readonly backoff: Backoff
  readonly random: () => number
  readonly silenceMsMax: number
}

/**
 * Reads a topic for ever: after a break at once from the next server, and when all fail with full-jitter back-off,
 * always from the last cursor. Ends by throwing: the signal's reason, or a MeshError that waiting does not cure.
 */
export async function* streamOf(servers: Servers, config: StreamConfig): AsyncGenerator<StreamItem, never> {
  let from = config.from
  for (let attempt = 0; ; attempt++) {
    let error: MeshError
    try {
      const path = `/v1/topics/${encodeURIComponent(config.topic)}/records?from=${encodeURIComponent(from)}`
      for await (const event of eventsOf(servers, { ...config, path })) {
        if (event.type === 'bye') break
        const item = itemOf(event, servers.current)
        from = event.lastEventId || from
        if (item === undefined) continue
        attempt = -1
        yield item
      }
      error = new MeshError('UNAVAILABLE', `${servers.current} ended the stream`)
    } catch (cause) {
      error = interruption(cause, servers.current, config.signal)
    }
    servers.moveOn()
    const retryInMs = attempt < 0 ? 0 : fullJitterMs(config.backoff, attempt, config.random)
    yield { type: 'interrupted', error, retryInMs }
    await pause(retryInMs, config.signal)
  }
}

/** Records come unnamed, so that a browser's EventSource takes them too. Events of later versions are no reason to fail. */
function itemOf(event: SseEvent, server: string): StreamItem | undefined {
  const cursor = event.lastEventId
  switch (event.type) {
    case 'message':
      return { type: 'record', record: new ReceivedRecord(JSON.parse(event.data) as RecordJson, cursor) }
    case 'caught-up':
      return { type: 'caught-up', cursor }
    case 'gap':
      return { type: 'gap', cursor, gap: JSON.parse(event.data) }
    case 'problem':
      throw errorOfProblem(JSON.parse(event.data), { status: 200, server })
    default:
      return undefined
  }
}

function interruption(cause: unknown, server: string, signal: AbortSignal): MeshError {
  signal.throwIfAborted()
  if (!(cause instanceof MeshError)) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    return new MeshError('UNAVAILABLE', `the stream of ${server} broke: ${reason}`, { cause })
  }
  if (!cause.retryable) throw cause
  return cause
}
