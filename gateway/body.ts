import type { Context } from 'hono'
import { MeshError, type ErrorCode } from '#protocol/errors'
import { exactTextOf, parseJson } from './json-text.ts'

/**
 * The whole body, at most `bytesMax`; a larger one is refused with `tooLarge` before more of it is kept. Throws
 * UNSUPPORTED_MEDIA for a compressed body, since its real size is not known before it has been unpacked.
 */
export async function readBody(c: Context, bytesMax: number, tooLarge: ErrorCode): Promise<Uint8Array> {
  const { headers } = c.req.raw
  const encoding = headers.get('content-encoding')
  if (encoding !== null && encoding !== 'identity') {
    throw new MeshError('UNSUPPORTED_MEDIA', 'Send the body without Content-Encoding.')
  }
  // The HTTP parser ends a body at its announced length, so that one can be read in one go.
  const announced = headers.get('content-length')
  const read = announced === null ? readStream(c.req.raw.body, bytesMax) : readAnnounced(c, Number(announced), bytesMax)
  const body = await read.catch((error: unknown) => {
    throw new MeshError('BAD_REQUEST', 'The body ended before it was complete.', { cause: error })
  })
  if (body !== undefined) return body
  throw new MeshError(tooLarge, `The body is larger than the ${bytesMax} bytes possible here.`)
}

async function readAnnounced(c: Context, size: number, bytesMax: number): Promise<Uint8Array | undefined> {
  return size > bytesMax ? undefined : new Uint8Array(await c.req.raw.arrayBuffer())
}

async function readStream(body: ReadableStream<Uint8Array> | null, bytesMax: number): Promise<Uint8Array | undefined> {
  const pieces: Uint8Array[] = []
  let size = 0
  for await (const piece of body ?? []) {
    size += piece.length
    if (size > bytesMax) return undefined
    pieces.push(piece)
  }
  return Buffer.concat(pieces, size)
}

/** What the bytes say as JSON, at most 64 levels deep. Throws BAD_JSON. */
export function jsonOf(bytes: Uint8Array): unknown {
  const text = exactTextOf(bytes)
  if (text === undefined) throw new MeshError('BAD_JSON', 'JSON must be UTF-8.')
  try {
    return parseJson(text)
  } catch (error) {
    throw new MeshError('BAD_JSON', error instanceof Error ? `${error.message}.` : undefined, { cause: error })
  }
}
