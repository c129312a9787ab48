/**
 * Hashing as a synchronous port (DESIGN §3): `node:zlib` and `node:crypto` in the peer, small pure versions
 * (`#protocol/log/pure-digests`) in the simulator and in browsers.
 */
export interface Digests {
  /** CRC-32 (IEEE 802.3, as zlib) as an unsigned 32-bit number; `value` continues an earlier one. */
  crc32(bytes: Uint8Array, value?: number): number
  /** SHA-256 (FIPS 180-4): 32 bytes. */
  sha256(bytes: Uint8Array): Uint8Array
  /** The same as 64 lower-case hex characters, where that is to be had for less: hashes of batches are kept so. */
  sha256Hex?(bytes: Uint8Array): string
}
