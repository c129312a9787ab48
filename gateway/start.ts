import { hlcMsMax } from '#protocol/log/hybrid-clock'
import type { ReadFrom } from './broker.ts'
import { invalid } from './problem.ts'

export type PlainStart = Exclude<ReadFrom, { type: 'cursor' }>

/** A start that is no cursor: `earliest`, `latest` (the time of now), `time:` and when, or `@` and the name of a cursor. */
export function parsePlainStart(text: string): PlainStart | undefined {
  if (text === 'earliest' || text === 'latest') return { type: text }
  if (text.startsWith('@')) return { type: 'named', name: cursorNameOf(text.slice(1)) }
  return text.startsWith(timePrefix) ? { type: 'time', ms: timeOf('from', text) } : undefined
}

export const parseStart = (text: string): ReadFrom => parsePlainStart(text) ?? { type: 'cursor', cursor: text }

/**
 * Wall milliseconds since 1970 of `time:2026-05-01`, `time:2026-05-01T10:00:00.5Z` (RFC 3339, or a day in UTC) or
 * `time:1777629600000`. Throws BAD_REQUEST.
 */
export function timeOf(name: string, text: string): number {
  const when = text.startsWith(timePrefix) ? text.slice(timePrefix.length) : ''
  const ms = /^\d{1,15}$/.test(when) ? Number(when) : msOfDate(when)
  if (ms !== undefined && ms >= 0 && ms <= hlcMsMax) return ms
  throw invalid(name, 'must be a time such as time:2026-05-01T10:00:00Z, time:2026-05-01 or time:1777629600000')
}

/** Throws BAD_REQUEST. */
export function cursorNameOf(text: string): string {
  if (/^[A-Za-z0-9_-]{1,64}$/.test(text)) return text
  throw invalid('name', 'of a cursor must be 1 to 64 characters of A–Z a–z 0–9 _ -')
}

const timePrefix = 'time:'

/** A `+` of the offset is a blank when the query was not percent-encoded. */
function msOfDate(text: string): number | undefined {
  const date = text.replace(/ (?=\d\d:\d\d$)/, '+')
  if (!/^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d))?$/.test(date)) return undefined
  const ms = Date.parse(date)
  return Number.isNaN(ms) ? undefined : ms
}
