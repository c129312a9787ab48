/** Clients stop reading a head at 8 or 16 KiB; the body has the cursor in any case. */
const cursorHeaderLengthMax = 4_096

/** Ends its line, for those who read it at a terminal. */
export const json = (value: object, status = 200, headers: Readonly<Record<string, string>> = {}): Response =>
  new Response(`${JSON.stringify(value)}\n`, { status, headers: { 'content-type': 'application/json', ...headers } })

/** A plain object of headers and a string: the only kind of Response that the server writes without building another. */
export function jsonAnswer(text: string, status: number, cursor: string): Response {
  const headers: Record<string, string> = { 'content-type': 'application/json' }
  if (cursor.length <= cursorHeaderLengthMax) headers['grapevine-cursor'] = cursor
  return new Response(`${text}\n`, { status, headers })
}
