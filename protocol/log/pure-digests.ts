import type { Digests } from '#protocol/digests'
import { crc32 } from './pure-crc32.ts'

/** CRC-32 and SHA-256 in plain TypeScript, for the simulator and browsers; a peer uses `#node/node-digests`. */
export const pureDigests: Digests = { crc32, sha256 }

// FIPS 180-4 §4.2.2, §5.3.3: the first 32 bits of the fractional parts of the cube roots and square roots of primes.
const primes = firstPrimes(64)
const roundConstants = Uint32Array.from(primes, (prime) => fraction32(Math.cbrt(prime)))
const initialHash = Uint32Array.from(primes.slice(0, 8), (prime) => fraction32(Math.sqrt(prime)))

function sha256(bytes: Uint8Array): Uint8Array {
  const message = padded(bytes)
  const view = new DataView(message.buffer)
  const hash = Uint32Array.from(initialHash)
  const schedule = new Uint32Array(64)
  for (let at = 0; at < message.length; at += 64) {
    for (let t = 0; t < 16; t++) schedule[t] = view.getUint32(at + 4 * t)
    compress(hash, schedule)
  }
  const digest = new DataView(new ArrayBuffer(32))
  hash.forEach((word, i) => digest.setUint32(4 * i, word))
  return new Uint8Array(digest.buffer)
}

/** §5.1.1: a 1 bit, zeros, and the length in bits as 64 bits, up to a multiple of 64 bytes. */
function padded(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const message = new Uint8Array(Math.ceil((bytes.length + 9) / 64) * 64)
  message.set(bytes)
  message[bytes.length] = 0x80
  const view = new DataView(message.buffer)
  view.setUint32(message.length - 8, Math.floor(bytes.length / 2 ** 29))
  view.setUint32(message.length - 4, bytes.length << 3)
  return message
}

/** §6.2.2, with the paper's letters. The casts spare a check per word: all indexes are in range. */
function compress(hash: Uint32Array, w: Uint32Array): void {
  for (let t = 16; t < 64; t++) {
    const w15 = w[t - 15] as number
    const w2 = w[t - 2] as number
    const s0 = rotate(w15, 7) ^ rotate(w15, 18) ^ (w15 >>> 3)
    const s1 = rotate(w2, 17) ^ rotate(w2, 19) ^ (w2 >>> 10)
    w[t] = (s1 + (w[t - 7] as number) + s0 + (w[t - 16] as number)) | 0
  }
  let [a, b, c, d, e, f, g, h] = hash as unknown as [number, number, number, number, number, number, number, number]
  for (let t = 0; t < 64; t++) {
    const sum1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)
    const choice = (e & f) ^ (~e & g)
    const t1 = (h + sum1 + choice + (roundConstants[t] as number) + (w[t] as number)) | 0
    const sum0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)
    const majority = (a & b) ^ (a & c) ^ (b & c)
    h = g
    g = f
    f = e
    e = (d + t1) | 0
    d = c
    c = b
    b = a
    a = (t1 + sum0 + majority) | 0
  }
  ;[a, b, c, d, e, f, g, h].forEach((word, i) => (hash[i] = (hash[i] as number) + word))
}

const rotate = (word: number, bits: number): number => (word >>> bits) | (word << (32 - bits))

/** The first 32 bits of the fractional part; a double holds 52. */
function fraction32(value: number): number {
  return Math.floor((value - Math.floor(value)) * 2 ** 32)
}

function firstPrimes(count: number): number[] {
  const found: number[] = []
  for (let n = 2; found.length < count; n++) if (found.every((prime) => n % prime !== 0)) found.push(n)
  return found
}
