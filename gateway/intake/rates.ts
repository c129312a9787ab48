import { limits } from '#protocol/limits'

/** What one client may ask for in the long run. Its bucket holds `rateBurstSeconds` of it. */
export interface RatesConfig {
  /** Requests, and messages over WebSockets. */
  readonly requestsPerSecond: number
  /** Of bodies and messages that it sends. */
  readonly bytesPerSecond: number
}

interface Bucket {
  requests: number
  bytes: number
  /** When it was last filled up. */
  atMs: number
}

/**
 * Token buckets, one for each client: by its token, else by its address. There is a bound of buckets, of which the least used
 * go: a bucket that is new is full.
 *
 * Bytes are counted when they have come, so a bucket may be overdrawn; what comes next waits until it is made up for.
 */
export class Rates {
  readonly #max: Readonly<Pick<Bucket, 'requests' | 'bytes'>>
  readonly #config: RatesConfig
  readonly #nowMs: () => number
  /** The one that was not used for longest first. */
  readonly #buckets = new Map<string, Bucket>()

  constructor(config: RatesConfig, nowMs: () => number = () => performance.now()) {
    this.#config = config
    this.#max = {
      requests: config.requestsPerSecond * limits.rateBurstSeconds,
      bytes: config.bytesPerSecond * limits.rateBurstSeconds,
    }
    this.#nowMs = nowMs
  }

  get size(): number {
    return this.#buckets.size
  }

  /** Takes one request. Returns after how many milliseconds to come again; 0: it may go on now. */
  take(client: string): number {
    const bucket = this.#bucketOf(client)
    const waitMs = this.#waitMs(bucket)
    if (waitMs === 0) bucket.requests--
    return waitMs
  }

  /** So many bytes have come. Returns for how many milliseconds no more of them should be read. */
  spend(client: string, bytes: number): number {
    const bucket = this.#bucketOf(client)
    bucket.bytes -= bytes
    return bucket.bytes >= 0 ? 0 : Math.ceil((-bucket.bytes / this.#config.bytesPerSecond) * 1_000)
  }

  /** One message of so many bytes has come. Returns for how many milliseconds nothing more should be read from the client. */
  pace(client: string, bytes: number): number {
    const bucket = this.#bucketOf(client)
    bucket.requests--
    bucket.bytes -= bytes
    return this.#waitMs(bucket)
  }

  /**
   * `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers) for a client that has used up half of its bucket;
   * nobody else needs to know.
   */
  fields(client: string): RateFields | undefined {
    const bucket = this.#bucketOf(client)
    const { requests, bytes } = this.#max
    if (bucket.requests * 2 > requests && bucket.bytes * 2 > bytes) return undefined
    const { requestsPerSecond, bytesPerSecond } = this.#config
    const full = (now: number, max: number, perSecond: number): number => Math.ceil((max - now) / perSecond)
    const left = (now: number): number => Math.max(0, Math.floor(now))
    const window = limits.rateBurstSeconds
    return {
      policy: `"requests";q=${requests};w=${window}, "bytes";q=${bytes};w=${window};qu="content-bytes"`,
      limit:
        `"requests";r=${left(bucket.requests)};t=${full(bucket.requests, requests, requestsPerSecond)}, ` +
        `"bytes";r=${left(bucket.bytes)};t=${full(bucket.bytes, bytes, bytesPerSecond)}`,
    }
  }

  /** After how many milliseconds a client may send its next request. */
  waitMs(client: string): number {
    return this.#waitMs(this.#bucketOf(client))
  }

  #waitMs({ requests, bytes }: Bucket): number {
    const { requestsPerSecond, bytesPerSecond } = this.#config
    const seconds = Math.max((1 - requests) / requestsPerSecond, -bytes / bytesPerSecond)
    return seconds <= 0 ? 0 : Math.ceil(seconds * 1_000)
  }

  #bucketOf(client: string): Bucket {
    const nowMs = this.#nowMs()
    const bucket = this.#buckets.get(client)
    if (bucket === undefined) return this.#begin(client, nowMs)
    const seconds = (nowMs - bucket.atMs) / 1_000
    // Within a moment it is where it was in the line, too.
    if (seconds < refillSeconds) return bucket
    this.#buckets.delete(client)
    this.#buckets.set(client, bucket)
    bucket.atMs = nowMs
    bucket.requests = Math.min(this.#max.requests, bucket.requests + seconds * this.#config.requestsPerSecond)
    bucket.bytes = Math.min(this.#max.bytes, bucket.bytes + seconds * this.#config.bytesPerSecond)
    return bucket
  }

  #begin(client: string, nowMs: number): Bucket {
    const [longestUnused] = this.#buckets.keys()
    if (longestUnused !== undefined && this.#buckets.size >= limits.rateBucketsMax) this.#buckets.delete(longestUnused)
    const bucket = { ...this.#max, atMs: nowMs }
    this.#buckets.set(client, bucket)
    return bucket
  }
}

export interface RateFields {
  readonly policy: string
  readonly limit: string
}

const refillSeconds = 0.01
