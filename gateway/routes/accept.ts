import type { Context } from 'hono'

const accepts = (c: Context, mediaType: RegExp): boolean => mediaType.test(c.req.header('accept') ?? '')

export const wantsEvents = (c: Context): boolean => accepts(c, /(^|[,\s])text\/event-stream/i)

/** Both names that are in use; who accepts events, too, gets those. */
export const wantsNdjson = (c: Context): boolean => accepts(c, /(^|[,\s])application\/(x-)?ndjson/i) && !wantsEvents(c)
