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
  opened: () => '',
  told({ gaps, records, cursor, caughtUp }) {
    const lines = [...gaps.map((gap) => eventJson('gap', { gap })), ...records.map(({ record }) => recordJson(record))]
    if (caughtUp) lines.push(eventJson('caught-up', { cursor }))
    else if (lines.length > 0) lines.push(eventJson('cursor', { cursor }))
    return lines.map((line) => `${line}\n`).join('')
  },
  idle: (cursor) => `${eventJson('cursor', { cursor })}\n`,
  bye: (farewell) => `${eventJson('bye', farewell)}\n`,
  problem: (problem) => `${eventJson('problem', { problem })}\n`,
}

export const eventJson = (event: string, data: object): string => JSON.stringify({ event, ...data })
