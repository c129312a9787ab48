/** As much of DER (X.690) as one kind of certificate needs: values with a tag of one byte and a definite length. */
export interface DerValue {
  readonly tag: number
  readonly content: Uint8Array
}

/** Tags of X.690 §8, with the bit of constructed ones. `context` is [number] of a SEQUENCE, constructed. */
export const derTags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectId: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  context: (number: number): number => 0xa0 + number,
} as const

/** One value: its tag, its length, and its parts one after the other. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([tag, ...lengthOf(content.byteLength)]), content])
}

export const sequence = (...parts: readonly Uint8Array[]): Uint8Array => der(derTags.sequence, ...parts)

/** An object id, of the bytes that X.690 §8.19 makes of it. */
export const objectId = (hex: string): Uint8Array => der(derTags.objectId, Buffer.from(hex, 'hex'))

function lengthOf(size: number): readonly number[] {
  if (size < 0x80) return [size]
  return size < 0x100 ? [0x81, size] : [0x82, size >> 8, size & 0xff]
}

/** The values that lie one after the other in these bytes. Undefined: that is not DER, or not as much of it as is known here. */
export function derValuesOf(bytes: Uint8Array): readonly DerValue[] | undefined {
  const values: DerValue[] = []
  for (let at = 0; at < bytes.byteLength;) {
    const tag = bytes[at] as number
    const length = lengthAt(bytes, at + 1)
    if ((tag & 0x1f) === 0x1f || length === undefined) return undefined
    const end = length.from + length.size
    if (end > bytes.byteLength) return undefined
    values.push({ tag, content: bytes.subarray(length.from, end) })
    at = end
  }
  return values
}

/** Where the content begins, and how long it is. Longer than 64 KiB is no certificate. */
function lengthAt(bytes: Uint8Array, at: number): { readonly from: number; readonly size: number } | undefined {
  const first = bytes[at]
  if (first === undefined || first === 0x80 || first > 0x82) return undefined
  if (first < 0x80) return { from: at + 1, size: first }
  const from = at + 1 + (first & 0x7f)
  if (from > bytes.byteLength) return undefined
  return { from, size: bytes.subarray(at + 1, from).reduce((size, byte) => size * 0x100 + byte, 0) }
}
