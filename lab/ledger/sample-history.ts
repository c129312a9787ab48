import type { Ok, Publish, ReadEvent, Reading } from './history.ts'

/** Histories that can be followed by hand: one topic, records of one letter and a number, `a 0` at `oak.e1.0`. */
export const topic = 'orders'

export function publish(
  writer: string,
  seqs: readonly [first: number, count: number],
  more: Partial<Publish> & { readonly from?: number; readonly feed?: string; readonly copies?: readonly string[] } = {},
): Publish & { readonly outcome: Ok } {
  const [firstSeq, count] = seqs
  const { from = firstSeq, feed = 'oak.e1', copies = ['oak'], invokedAtMs = firstSeq * 10, ...rest } = more
  const outcome: Ok = {
    type: 'ok',
    atMs: invokedAtMs + 5,
    runs: [{ feed, from, count }],
    reached: true,
    copies,
    home: ['oak', 'elm', 'ash'],
  }
  const request = { writer, topic, firstSeq, count, at: 'oak', level: 'local', isRetry: false, isKeyed: false }
  return { ...request, invokedAtMs, outcome, ...rest } as Publish & { readonly outcome: Ok }
}

export const unanswered = (publishOk: Publish): Publish => ({
  ...publishOk,
  outcome: { type: 'info', atMs: publishOk.invokedAtMs + 5, code: 'OUTCOME_UNKNOWN' },
})

export const refused = (publishOk: Publish): Publish => ({
  ...publishOk,
  outcome: { type: 'fail', atMs: publishOk.invokedAtMs + 5, code: 'OVERLOADED' },
})

/** `a0@1` is the record 0 of writer a at oak.e1.1; `a0@e2.1` in the feed oak.e2; `elm.e1.1` in that of another peer. */
export function reading(text: string, moved = false): Reading {
  const events = text.split(' ').filter(Boolean).map(eventOf)
  return { by: 'ash', topic, moved, events }
}

function eventOf(word: string): ReadEvent {
  const [what = '', place = ''] = word.split('@')
  const parts = place.split('.')
  const offsets = parts.pop() ?? ''
  const feed = parts.length === 2 ? parts.join('.') : `oak.${parts[0] ?? 'e1'}`
  if (what === 'lost' || what === 'late') {
    const [from = 0, to = 0] = offsets.split('-').map(Number)
    return { type: 'gap', gap: { type: what, feed, from, to } }
  }
  if (what === 'damaged') return { type: 'damaged', feed, offset: Number(offsets) }
  return { type: 'record', feed, offset: Number(offsets), writer: what.slice(0, 1), seq: Number(what.slice(1)) }
}
