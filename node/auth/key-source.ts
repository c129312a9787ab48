import { stat } from 'node:fs/promises'
import { readKeySet } from '#gateway/auth/key-set'
import type { SignedTokens } from '#gateway/auth/signed-tokens'
import { MeshError } from '#protocol/errors'
import { limits } from '#protocol/limits'
import type { Log } from '../log.ts'
import { FileWatch } from './file-watch.ts'

/** Where the keys come from that tokens are signed with, for as long as it is open. */
export interface KeySource {
  /** Reads them for the first time. */
  start(): Promise<void>
  /** A token names a key that is not there: reads again, unless that was done a moment ago. */
  refresh(): Promise<void>
  stop(): void
}

export interface KeySourceDeps {
  readonly keys: Pick<SignedTokens, 'keys' | 'replaceKeys'>
  readonly log: Pick<Log, 'info' | 'warn'>
}

/** How old keys of a URL become. A key that is withdrawn there is trusted no longer than that. */
const fetchEveryMs = 5 * 60_000
/** Tokens with keys that nobody knows make no more than one request in this time. */
const refreshEveryMs = 30_000
const fetchTimeoutMs = 5_000

export const keySourceOf = (from: string, deps: KeySourceDeps): KeySource =>
  /^https?:\/\//.test(from) ? new UrlKeys(from, deps) : new FileKeys(from, deps)

class FileKeys implements KeySource {
  readonly #path: string
  readonly #deps: KeySourceDeps
  readonly #watch: FileWatch
  #isFirst = true

  constructor(path: string, deps: KeySourceDeps) {
    this.#path = path
    this.#deps = deps
    this.#watch = new FileWatch(
      { path, bytesMax: limits.tokenKeysBytesMax },
      {
        onText: (text) => this.#onText(text),
        onFault: (error) =>
          deps.log.warn('keys of tokens could not be read again: those before stay', { error: String(error) }),
      },
    )
  }

  async start(): Promise<void> {
    const { mode } = await stat(this.#path).catch((cause: unknown) => {
      throw invalid(this.#path, 'cannot be read', cause)
    })
    if ((mode & 0o077) !== 0 && process.platform !== 'win32') {
      this.#deps.log.warn('keys of tokens can be read by others', { file: this.#path })
    }
    await this.#watch.start()
    this.#isFirst = false
  }

  /** It is looked at each second anyway. */
  async refresh(): Promise<void> {}

  stop(): void {
    this.#watch.stop()
  }

  async #onText(text: string): Promise<void> {
    const { keys } = this.#deps
    const read = await readKeySet(text, { mayHaveSecrets: true, known: keys.keys })
    if (typeof read === 'string') throw invalid(this.#path, read)
    keys.replaceKeys(read)
    if (!this.#isFirst) this.#deps.log.info('keys of tokens were read', { keys: read.length })
  }
}

class UrlKeys implements KeySource {
  readonly #url: string
  readonly #deps: KeySourceDeps
  #timer: NodeJS.Timeout | undefined
  #fetching: Promise<void> | undefined
  #fetchedMs = Number.NEGATIVE_INFINITY

  constructor(url: string, deps: KeySourceDeps) {
    this.#url = url
    this.#deps = deps
  }

  /** A peer that is cut off from it starts all the same. */
  async start(): Promise<void> {
    this.#timer = setInterval(() => void this.#fetch(), fetchEveryMs)
    this.#timer.unref()
    await this.#fetch()
  }

  async refresh(): Promise<void> {
    // Whoever comes while they are being read waits for that.
    if (this.#fetching === undefined && performance.now() - this.#fetchedMs < refreshEveryMs) return
    await this.#fetch()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #fetch(): Promise<void> {
    this.#fetching ??= this.#read()
      .catch((error: unknown) => {
        this.#deps.log.warn('keys of tokens could not be fetched: those before stay', { error: whyOf(error) })
      })
      .finally(() => (this.#fetching = undefined))
    return this.#fetching
  }

  async #read(): Promise<void> {
    this.#fetchedMs = performance.now()
    const signal = AbortSignal.timeout(fetchTimeoutMs)
    // A redirect may lead anywhere, also to what only this machine can reach.
    const answer = await fetch(this.#url, { signal, redirect: 'error', headers: { accept: 'application/json' } })
    if (!answer.ok) throw new Error(`it answered ${answer.status}`)
    const text = await textOf(answer)
    const { keys } = this.#deps
    const read = await readKeySet(text, { mayHaveSecrets: false, known: keys.keys })
    if (typeof read === 'string') throw new Error(`what it answered ${read}`)
    keys.replaceKeys(read)
  }
}

/** At most so many bytes, however many are sent. */
async function textOf(answer: Response): Promise<string> {
  const pieces: Uint8Array[] = []
  let size = 0
  for await (const piece of (answer.body ?? []) as AsyncIterable<Uint8Array>) {
    size += piece.length
    if (size > limits.tokenKeysBytesMax) throw new Error(`it answered more than ${limits.tokenKeysBytesMax} bytes`)
    pieces.push(piece)
  }
  return Buffer.concat(pieces).toString('utf8')
}

const whyOf = (error: unknown): string =>
  error instanceof Error ? [error.message, error.cause].filter(Boolean).map(String).join(': ') : String(error)

const invalid = (path: string, complaint: string, cause?: unknown): MeshError =>
  new MeshError('CONFIG_INVALID', `--jwt-keys ${path} ${complaint}`, cause === undefined ? {} : { cause })
