/**
 * Bytes ↔ text, with the two platform globals that exist alike in Node and browsers and are pure. They are declared
 * here because `protocol/` is compiled without any platform types.
 */
declare const TextEncoder: new () => { encode(text: string): Uint8Array<ArrayBuffer> }
declare const TextDecoder: new (
  label: 'utf-8',
  options: { fatal: boolean; ignoreBOM: boolean },
) => { decode(bytes: Uint8Array): string }

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export const utf8 = (text: string): Uint8Array<ArrayBuffer> => encoder.encode(text)

/** The text of `bytes`, a byte order mark included, or undefined when they are not well-formed UTF-8. */
export function textOf(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes)
  } catch {
    return undefined
  }
}

const hexPairs = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** Lower-case hex. */
export function hexOf(bytes: Uint8Array): string {
  let text = ''
  for (let i = 0; i < bytes.length; i++) text += hexPairs[bytes[i] as number]
  return text
}

/** The bytes of a hex text, or undefined when it is not one. */
export function bytesOfHex(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (text.length % 2 !== 0) return undefined
  const bytes = new Uint8Array(text.length / 2)
  let valid = 0
  for (let i = 0; i < bytes.length; i++) {
    const high = hexDigit(text.charCodeAt(2 * i))
    const low = hexDigit(text.charCodeAt(2 * i + 1))
    bytes[i] = (high << 4) | low
    valid |= high | low
  }
  return valid < 0 ? undefined : bytes
}

/** 0 to 15, or −1; a cursor has thousands of them. */
function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const letter = code | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1
}

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

const alphabetCodes = encoder.encode(alphabet)
/** Digit by character code; -1 for what is none. */
const digitOfCode = Int8Array.from({ length: 128 }, (_, code) => alphabetCodes.indexOf(code))

/** base64url without padding (RFC 4648 §5). */
export function base64urlOf(bytes: Uint8Array): string {
  const codes = new Uint8Array(Math.ceil(bytes.length / 3) * 4)
  for (let i = 0, at = 0; i < bytes.length; i += 3) {
    const triple = ((bytes[i] ?? 0) << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0)
    for (let shift = 18; shift >= 0; shift -= 6) codes[at++] = alphabetCodes[(triple >> shift) & 63] as number
  }
  return decoder.decode(codes.subarray(0, Math.ceil((bytes.length * 4) / 3)))
}

/** The bytes of a base64url text without padding, or undefined when it is not one, unused bits included. */
export function bytesOfBase64url(text: string): Uint8Array<ArrayBuffer> | undefined {
  const bytes = new Uint8Array(Math.floor((text.length * 3) / 4))
  let bits = 0
  let bitCount = 0
  let length = 0
  for (let at = 0; at < text.length; at++) {
    const digit = digitOfCode[text.charCodeAt(at)] ?? -1
    if (digit < 0) return undefined
    bits = (bits << 6) | digit
    bitCount += 6
    if (bitCount < 8) continue
    bitCount -= 8
    bytes[length++] = (bits >> bitCount) & 255
    bits &= (1 << bitCount) - 1
  }
  return bits === 0 && bitCount < 6 ? bytes : undefined
}
