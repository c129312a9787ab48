import type { Context } from 'hono'
import { MeshError } from '#protocol/errors'
import { principalOf } from '../auth/principal.ts'
import { refuseCompressed } from '../body.ts'
import type { Broker, PublishRequest } from '../broker.ts'
import type { RouteDeps } from '../deps.ts'
import { type LineFault, LinePublisher, type LinePublisherDeps, type StoredLines } from '../line-publisher.ts'
import { ndjsonMediaType, outcomeJson } from '../ndjson.ts'
import { pacedText } from '../paced-text.ts'
import type { Problems } from '../problem.ts'
import { refuseTwo } from '../producer.ts'
import { streamAnswer } from './stream-answer.ts'

/**
 * Publishes a stream of lines, and tells what became of them while it goes on. The answer begins with the first lines
 * that are stored: when the first are refused it is a problem like any other, and nothing was accepted.
 */
export async function publishLines(
  c: Context,
  { broker, bodies, liveReads, problems }: RouteDeps,
  request: Omit<PublishRequest, 'records'>,
): Promise<Response> {
  refuseCompressed(c)
  const publisher = new LinePublisher({ publish: publishOnward(broker, request), bodies })
  const ends = [
    liveReads.begin(() => publisher.stop(new MeshError('DRAINING'))),
    principalOf(c).onFault((fault) => publisher.stop(fault)),
    bodies.takeTime(c),
  ]
  const end = (): void => {
    for (const one of ends) one()
    publisher.abandon()
  }
  void publisher.read(bodies.paced(c))
  const told = publisher.told()
  const first = await told.next()
  if (first.done !== true && 'error' in first.value) {
    end()
    throw first.value.error as Error
  }
  const texts = textsOf(first, told, (error) => problems.of(error))
  return streamAnswer(pacedText(texts, end), ndjsonMediaType)
}

/** One publish after the other; numbers of the whole stream go on from each to the next. */
function publishOnward(broker: Broker, request: Omit<PublishRequest, 'records'>): LinePublisherDeps['publish'] {
  let { producer } = request
  return async (records) => {
    refuseTwo(producer, records)
    const result = await broker.publish({ ...request, records, producer })
    producer = producer && { ...producer, seq: producer.seq + records.length }
    return result
  }
}

type Outcome = StoredLines | LineFault

async function* textsOf(
  first: IteratorResult<Outcome, void>,
  told: AsyncGenerator<Outcome, void>,
  problemOf: Problems['of'],
): AsyncGenerator<string, void> {
  for (let next = first; next.done !== true; next = await told.next()) yield outcomeJson(next.value, problemOf)
}
