import { hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type { Digests } from '#protocol/digests'

/** Hashing by Node's own libraries: about 4.6 GB/s of CRC-32 and 1.7 GB/s of SHA-256. */
export const nodeDigests: Digests = {
  crc32: (bytes, value) => crc32(bytes, value),
  sha256: (bytes) => hash('sha256', bytes, 'buffer'),
  sha256Hex: (bytes) => hash('sha256', bytes, 'hex'),
}
