import type { Context } from 'hono'
import { limits } from '#protocol/limits'
import { refuseEnded } from '../auth/principal.ts'
import { topicToRead } from '../auth/topic-to-read.ts'
import type { TimePosition } from '../broker.ts'
import type { RouteDeps } from '../deps.ts'
import { countOf, queryOf } from '../parameters.ts'
import { invalid } from '../problem.ts'
import { recordJson } from '../record-json.ts'
import { timeOf } from '../start.ts'

/** A page of a closed interval, sorted by time (DESIGN §8). */
export async function answerInterval(c: Context, { broker, intake }: RouteDeps): Promise<Response> {
  const topic = topicToRead(c)
  const query = queryOf(c, ['order', 'from', 'to', 'after', 'limit'])
  if (query.order !== 'time') throw invalid('order', 'must be time')
  const { from = 'earliest' } = query
  const fromMs = from === 'earliest' ? 0 : timeOf('from', from)
  const toMs = query.to === undefined ? Date.now() : timeOf('to', query.to)
  if (toMs < fromMs) throw invalid('to', 'lies before from')
  const after = query.after === undefined ? undefined : parsePosition(query.after)
  const asked = countOf('limit', query.limit, { normal: 100, max: limits.pageRecordsMax })
  const limit = intake?.connections.isFull === true ? 1 : asked
  const wanted = { fromMs, toMs, after, limit, bytesTarget: limits.pageBytesMax }
  const { records, next, complete, gaps } = await broker.interval(topic, wanted)
  refuseEnded(c)
  const rest = JSON.stringify({
    from: new Date(fromMs).toISOString(),
    to: new Date(toMs).toISOString(),
    ...(next && { next: positionText(next) }),
    complete,
    ...(gaps.length > 0 && { gaps }),
  })
  const text = `{"records":[${records.map(recordJson).join(',')}],${rest.slice(1)}\n`
  return new Response(text, { headers: { 'content-type': 'application/json' } })
}

/** `gvt1.<ms>.<counter>.<feed>.<offset>` */
const positionText = ({ ms, counter, feed, offset }: TimePosition): string =>
  [scheme, ms, counter, feed, offset].join('.')

function parsePosition(text: string): TimePosition {
  const [, ms, counter, feed, offset] =
    /^gvt1\.(\d{1,15})\.(\d{1,5})\.([\w-]+\.[0-9a-f]{16})\.(\d{1,16})$/.exec(text) ?? []
  if (ms === undefined || counter === undefined || feed === undefined || offset === undefined) {
    throw invalid('after', 'must be the next of the page before')
  }
  return { ms: Number(ms), counter: Number(counter), feed, offset: Number(offset) }
}

const scheme = 'gvt1'
