import type { CursorMap } from '#client/subscription'
import { MeshError } from '#protocol/errors'

/** Whether a cursor is whole and of this topic is for the peer to say. */
export function startOf(from: string): string | CursorMap {
  if (from === 'earliest' || from === 'latest' || /^gv\d+\./.test(from)) return from
  if (!from.startsWith('{')) throw new MeshError('USAGE', `${from} is no start: earliest, latest or a cursor`)
  try {
    return JSON.parse(from) as CursorMap
  } catch {
    throw new MeshError('USAGE', `--from ${from} is neither a start nor JSON of cursors`)
  }
}
