/** Frames on a stream: `u32 length (big-endian) · bytes`. A length of 0 does not exist. */
export const frameHeaderBytes = 4

/** One frame as one contiguous piece: small writes cost more than copying (each becomes a TLS record). */
export function encodeFrame(parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.byteLength, 0)
  const bytes = Buffer.allocUnsafe(frameHeaderBytes + length)
  bytes.writeUInt32BE(length, 0)
  let at = frameHeaderBytes
  for (const part of parts) {
    bytes.set(part, at)
    at += part.byteLength
  }
  return bytes
}

export interface RefusedFrame {
  readonly refused: string
}

/**
 * Cuts the bytes of one stream into frames, however they were split on the way. A length that is not allowed is refused
 * before anything is allocated, and nothing is decoded after it.
 */
export class FrameDecoder {
  readonly #frameBytesMax: number
  readonly #header = Buffer.alloc(frameHeaderBytes)
  #headerFilled = 0
  #frame: Uint8Array | undefined
  #frameFilled = 0
  #chunk: Uint8Array = new Uint8Array(0)

  constructor(frameBytesMax: number) {
    this.#frameBytesMax = frameBytesMax
  }

  /** What came next on the stream; to be given only when `next` wants more. */
  push(chunk: Uint8Array): void {
    this.#chunk = chunk
  }

  /** A frame has begun and not ended. */
  get isMidFrame(): boolean {
    return this.#headerFilled > 0
  }

  /** The next whole frame, a copy; `undefined`: more bytes are needed. */
  next(): Uint8Array | RefusedFrame | undefined {
    if (this.#frame === undefined) {
      this.#headerFilled += this.#moveInto(this.#header, this.#headerFilled)
      if (this.#headerFilled < frameHeaderBytes) return undefined
      const length = this.#header.readUInt32BE(0)
      if (length < 1 || length > this.#frameBytesMax) return this.#refuse(length)
      this.#frame = new Uint8Array(length)
    }
    const frame = this.#frame
    this.#frameFilled += this.#moveInto(frame, this.#frameFilled)
    if (this.#frameFilled < frame.byteLength) return undefined
    this.#frame = undefined
    this.#headerFilled = 0
    this.#frameFilled = 0
    return frame
  }

  #moveInto(target: Uint8Array, filled: number): number {
    const piece = this.#chunk.subarray(0, target.byteLength - filled)
    target.set(piece, filled)
    this.#chunk = this.#chunk.subarray(piece.byteLength)
    return piece.byteLength
  }

  // The header stays filled, so that every later call refuses as well.
  #refuse(length: number): RefusedFrame {
    return { refused: `a frame of ${length} bytes was announced; 1 to ${this.#frameBytesMax} are taken` }
  }
}
