import type { LineFault, StoredLines } from './line-publisher.ts'
import type { Problem } from './problem.ts'
import { recordJson } from './record-json.ts'
import type { StreamFormat } from './record-stream.ts'

export const ndjsonMediaType = 'application/x-ndjson'

/** Both names that are in use. */
export const isNdjson = (mediaType: string): boolean =>
  mediaType === ndjsonMediaType || mediaType === 'application/ndjson'

/**
 * A stream of records as lines of JSON. A line with an `event` is about the stream, all others are records. The cursor is
 * told after each read of the log rather than with each record: it covers all records before it.
 */
export const ndjsonRecords: StreamFormat = {
  hasCursorPerRecord: false,
  opened: () => '',
  told({ gaps, records, cursor, caughtUp }) {
    const lines = [...gaps.map((gap) => eventJson('gap', { gap })), ...records.map(({ record }) => recordJson(record))]
    const isolated = caughtUp === 'isolated' && { isolated: true }
    if (caughtUp) lines.push(eventJson('caught-up', { cursor, ...isolated }))
    else if (lines.length > 0) lines.push(eventJson('cursor', { cursor }))
    return lines.map((line) => `${line}\n`).join('')
  },
  begun: (cursor) => `${eventJson('cursor', { cursor })}\n`,
  deleted: (topic, cursor) => `${eventJson('deleted', { topic })}\n${eventJson('cursor', { cursor })}\n`,
  mesh: ({ event, ...data }) => `${eventJson(event, data)}\n`,
  idle: (cursor) => `${eventJson('cursor', { cursor })}\n`,
  bye: (farewell) => `${eventJson('bye', farewell)}\n`,
  problem: (problem) => `${eventJson('problem', { problem })}\n`,
}

/** What became of lines that were published: 201 or 202 as for one record, or the problem of the first that was refused. */
export function outcomeJson(outcome: StoredLines | LineFault, problemOf: (error: unknown) => Problem): string {
  if ('error' in outcome) {
    const { line, error } = outcome
    return `${eventJson('problem', { line, problem: problemOf(error) })}\n`
  }
  const { lines, records, ...rest } = outcome
  return `${JSON.stringify({ lines, records, status: rest.ack.reached ? 201 : 202, ...rest })}\n`
}

const eventJson = (event: string, data: object): string => JSON.stringify({ event, ...data })
