/** Clients stop reading a head at 8 or 16 KiB; the body has the cursor in any case. */
const cursorHeaderLengthMax = 4_096

/** A plain object of headers and a string: the only kind of Response that the server writes without building another. */
export function jsonAnswer(json: string, status: number, cursor: string): Response {
  const headers: Record<string, string> = { 'content-type': 'application/json' }
  if (cursor.length <= cursorHeaderLengthMax) headers['grapevine-cursor'] = cursor
  return new Response(json, { status, headers })
}
