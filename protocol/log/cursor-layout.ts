/** How a cursor is written: `README.md` has it byte by byte. */
export const cursorScheme = 'gv1.'

/** Sizes of its parts. */
export const cursorBytes = { head: 24, entry: 28, checksum: 4 } as const
