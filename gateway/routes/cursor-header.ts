/** Clients stop reading a head at 8 or 16 KiB; the body has the cursor in any case. */
const cursorHeaderLengthMax = 4_096

export const cursorHeader = (cursor: string): Record<string, string> =>
  cursor.length > cursorHeaderLengthMax ? {} : { 'grapevine-cursor': cursor }
