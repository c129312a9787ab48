import { limits } from '#protocol/limits'
import { SseParser, type SseEvent } from './sse.ts'
import type { Servers } from './servers.ts'

/** JSON escapes may make six characters of one byte; a record with its cursor is never longer. */
const eventLengthMax = 6 * limits.recordBytesMax + limits.cursorTextMax

/**
 * The events of one answer, until it ends. Reads only when asked for more, so that a slow consumer slows the socket
 * down. Throws when the stream is silent for `silenceMsMax`: peers send a comment every 15 s.
 */
export async function* eventsOf(
  servers: Servers,
  request: { readonly path: string; readonly signal: AbortSignal; readonly silenceMsMax: number },
): AsyncGenerator<SseEvent, void> {
  const body = await servers.ask(
    {
      method: 'GET',
      path: request.path,
      headers: { accept: 'text/event-stream' },
      signal: request.signal,
      repeatable: true,
    },
    (response) => Promise.resolve(response.body),
  )
  const reader = body?.getReader()
  if (reader === undefined) return
  const parser = new SseParser(eventLengthMax)
  try {
    for (;;) {
      const piece = await inTime(reader.read(), request.silenceMsMax)
      if (piece.value === undefined) return
      yield* parser.push(piece.value)
    }
  } finally {
    // Not awaited: a connection that is stuck would hold up its own end.
    reader.cancel().catch(() => undefined)
  }
}

async function inTime<T>(promise: Promise<T>, ms: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the stream was silent for ${ms} ms`)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
