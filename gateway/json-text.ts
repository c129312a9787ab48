/** Deepest nesting of arrays and objects that goes through this gateway: many parsers of others stop at 100 or so. */
export const jsonDepthMax = 64

// Fatal: bytes that are not UTF-8 must not turn into U+FFFD. A byte order mark is kept: text read is text written.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The exact text of `bytes`, or undefined when they are not well-formed UTF-8. */
export function exactTextOf(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes)
  } catch {
    return undefined
  }
}

/**
 * Parses JSON of at most `jsonDepthMax` levels. Throws SyntaxError for anything else. Depth is looked at first: a few
 * megabytes of `[` keep JSON.parse busy for seconds.
 */
export function parseJson(text: string): unknown {
  if (!isShallow(text)) throw new SyntaxError(`JSON nests deeper than ${jsonDepthMax} levels`)
  return JSON.parse(text)
}

function isShallow(text: string): boolean {
  let depth = 0
  let inString = false
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i)
    if (inString) {
      if (char === backslash) i++
      else if (char === quote) inString = false
    } else if (char === quote) inString = true
    else if (char === openBracket || char === openBrace) {
      if (++depth > jsonDepthMax) return false
    } else if (char === closeBracket || char === closeBrace) depth--
  }
  return true
}

const quote = 0x22
const backslash = 0x5c
const openBracket = 0x5b
const closeBracket = 0x5d
const openBrace = 0x7b
const closeBrace = 0x7d
