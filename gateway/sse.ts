import type { ReadChunk } from './broker.ts'
import { recordJson } from './record-json.ts'
import type { StreamFormat } from './record-stream.ts'

/**
 * Server-sent events (HTML standard §9.2): one per record, unnamed, its `id` the cursor after it · `caught-up` once ·
 * `gap` where records are missing (P5) · `partition` and `healed` · `bye` and the end when the peer drains · `problem` and the end when reading
 * fails. A comment when idle.
 */
export const serverSentEvents: StreamFormat = {
  hasCursorPerRecord: true,
  opened: (retryMs) => `retry: ${retryMs}\n\n`,
  told({ gaps, records, cursor, caughtUp }) {
    const id = records.length === 0 ? { id: cursor } : {}
    const missing = gaps.map((gap) => eventText({ event: 'gap', ...id, data: gap })).join('')
    const isolated = caughtUp === 'isolated' && { isolated: true }
    const end = caughtUp ? eventText({ event: 'caught-up', id: cursor, data: { cursor, ...isolated } }) : ''
    return missing + records.map(recordEvent).join('') + end
  },
  // Without data it is no event, and its id counts all the same.
  begun: (cursor) => `id: ${cursor}\n\n`,
  deleted: (topic, cursor) => eventText({ event: 'deleted', id: cursor, data: { topic } }),
  mesh: ({ event, ...data }) => eventText({ event, data }),
  idle: () => ':\n\n',
  bye: (farewell) => eventText({ event: 'bye', data: farewell, retry: farewell.retryMs }),
  problem: (problem) => eventText({ event: 'problem', data: problem }),
}

const recordEvent = ({ record, cursor }: ReadChunk['records'][number]): string =>
  `id: ${cursor}\ndata: ${recordJson(record)}\n\n`

/** JSON has no line ends of its own, so one `data:` line holds it. */
export const eventText = (fields: { event?: string; id?: string; retry?: number; data: unknown }): string =>
  `${Object.entries({ ...fields, data: JSON.stringify(fields.data) })
    .map(([name, value]) => `${name}: ${value}\n`)
    .join('')}\n`
