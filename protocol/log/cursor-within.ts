import type { Digests } from '#protocol/digests'
import { MeshError } from '#protocol/errors'
import { base64urlOf, bytesOfBase64url, hexOf } from '#protocol/text'
import type { CursorEntry } from './cursor.ts'
import { cursorBytes, cursorScheme } from './cursor-layout.ts'

/**
 * The cursor of a reader that is within a batch, made from its cursor after that batch: they differ in the entry of the feed.
 * That is found by its epoch, which is drawn at random, so that a client need not hash the name of its `writer`. Throws MeshError
 * CURSOR_INVALID if there is no such entry, or several.
 */
export function cursorWithin(
  after: string,
  { writer, epoch, nextOffset, hashPrefix }: Omit<CursorEntry, 'writer'> & Partial<CursorEntry>,
  { crc32 }: Pick<Digests, 'crc32'>,
): string {
  const { head, entry, checksum } = cursorBytes
  const bytes = after.startsWith(cursorScheme) ? bytesOfBase64url(after.slice(cursorScheme.length)) : undefined
  if (bytes === undefined) throw invalid('is damaged')
  const end = bytes.length - checksum
  const found: number[] = []
  for (let at = head; at + entry <= end; at += entry) {
    const name = hexOf(bytes.subarray(at, at + 16))
    if (name.endsWith(epoch) && name.startsWith(writer ?? '')) found.push(at)
  }
  const [at] = found
  if (at === undefined || found.length > 1) throw invalid('does not say where that is')
  const view = new DataView(bytes.buffer)
  view.setBigUint64(at + 16, BigInt(nextOffset))
  view.setUint32(at + 24, parseInt(hashPrefix, 16))
  view.setUint32(end, crc32(bytes.subarray(0, end)))
  return cursorScheme + base64urlOf(bytes)
}

const invalid = (what: string): MeshError => new MeshError('CURSOR_INVALID', `The cursor after a batch ${what}.`)
