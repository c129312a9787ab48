import { MeshError } from '#protocol/errors'
import { socketPath } from '#protocol/wire/socket-frames'
import { errorOfAnswer } from './problem.ts'

export type Fetch = (url: string, init: RequestInit) => Promise<Response>

export interface ServersConfig {
  /** Base URLs of gateways, the preferred one first. */
  readonly urls: readonly string[]
  readonly fetch: Fetch
  /** How long an answer may take to begin; what the request itself waits for comes on top. */
  readonly answerMsMax: number
  /** A float in [0, 1). */
  readonly random: () => number
}

export interface Request {
  readonly method: 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE'
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly signal: AbortSignal
  /** How long the server was asked to wait before it answers. */
  readonly waitMs?: number
  /** True if doing it twice is doing it once. Otherwise it is repeated only when it certainly never left this machine. */
  readonly repeatable: boolean
}

/** Servers that peers told of, beyond those that were named. */
const learnedMax = 64

/** How long a server that failed comes after those that did not. */
const avoidMs = 10_000

/**
 * Several gateways seen as one: stays with the one that answered last and moves on when it does not answer. To any that has not
 * failed of late, so that the clients of a peer that ends spread over the others; one that was named before one that was learned.
 */
export class Servers {
  readonly #config: ServersConfig
  /** Named, then learned, those of the last word first. */
  #urls: readonly string[]
  /** What the last word was. */
  #told: readonly string[] = []
  #current: string
  /** When each has failed last, the one that failed longest ago first. */
  readonly #failedAtMs = new Map<string, number>()
  #hasWorked = false

  constructor(config: ServersConfig) {
    this.#config = config
    this.#urls = config.urls
    this.#current = config.urls[0] as string
  }

  /** The server that is asked first. */
  get current(): string {
    return this.#current
  }

  get count(): number {
    return this.#urls.length
  }

  /** The current one did what it was asked for. */
  worked(): void {
    this.#hasWorked = true
  }

  /** The current one failed. In a row of failures each server is met once before one is met again. */
  moveOn(): void {
    const nowMs = performance.now()
    if (this.#hasWorked) {
      for (const [url, atMs] of this.#failedAtMs) if (nowMs - atMs > avoidMs) this.#failedAtMs.delete(url)
    }
    this.#hasWorked = false
    this.#failedAtMs.delete(this.#current)
    this.#failedAtMs.set(this.#current, nowMs)
    this.#current = this.#next()
  }

  #next(): string {
    const sound = this.#urls.filter((url) => !this.#failedAtMs.has(url))
    const among = (urls: readonly string[]): string[] => sound.filter((url) => urls.includes(url))
    const choice = [among(this.#config.urls), among(this.#told)].find(({ length }) => length > 0) ?? sound
    const [longestAgo] = [...this.#failedAtMs.keys()].filter((url) => this.#urls.includes(url))
    return choice[Math.floor(this.#config.random() * choice.length)] ?? longestAgo ?? this.#current
  }

  /**
   * What a peer says of the others: they stand by after those that were named. Those that were told of before are remembered,
   * for a peer that is cut off knows of nobody, and what it knows is of no use to its clients once it has ended.
   */
  learn(urls: readonly string[]): void {
    this.#told = urls.flatMap((url) => baseUrlOf(url) ?? []).slice(0, learnedMax)
    const named = this.#config.urls
    const learned = [...this.#told, this.#current, ...this.#urls].filter((url) => !named.includes(url))
    this.#urls = [...named, ...[...new Set(learned)].slice(0, learnedMax)]
    for (const url of this.#failedAtMs.keys()) if (!this.#urls.includes(url)) this.#failedAtMs.delete(url)
  }

  /** Why the current server, which did not open a WebSocket, does not: a browser does not say, so it is asked again. */
  async whyNoSocket(signal: AbortSignal): Promise<MeshError> {
    const { current } = this
    const request: Request = { method: 'GET', path: socketPath, signal, repeatable: true }
    const outcome = await this.#askCurrent(request, () => Promise.resolve())
    if ('error' in outcome && outcome.error.code !== 'UPGRADE_REQUIRED') return outcome.error
    return new MeshError(
      'UNAVAILABLE',
      `${current} answers, but opens no WebSocket: does a proxy in between pass them?`,
    )
  }

  /** Asks each server at most once. `read` takes what it needs of the 2xx answer; a break while it reads counts as no answer. */
  async ask<T>(request: Request, read: (response: Response) => Promise<T>): Promise<T> {
    const failures: MeshError[] = []
    const { count } = this
    while (failures.length < count) {
      const outcome = await this.#askCurrent(request, read)
      if ('answer' in outcome) {
        this.worked()
        return outcome.answer
      }
      if (!outcome.elsewhere) throw outcome.error
      failures.push(outcome.error)
      this.moveOn()
    }
    throw togetherOf(failures)
  }

  async #askCurrent<T>(
    request: Request,
    read: (response: Response) => Promise<T>,
  ): Promise<{ readonly answer: T } | { readonly error: MeshError; readonly elsewhere: boolean }> {
    const server = this.current
    const deadline = new AbortController()
    const timer = setTimeout(
      () => deadline.abort(new Error(`no answer within ${this.#config.answerMsMax} ms`)),
      this.#config.answerMsMax + (request.waitMs ?? 0),
    )
    try {
      const response = await this.#config.fetch(server + request.path, {
        method: request.method,
        headers: { ...request.headers },
        signal: AbortSignal.any([request.signal, deadline.signal]),
        ...(request.body === undefined ? {} : { body: request.body }),
      })
      if (response.ok) return { answer: await read(response) }
      const error = await errorOfAnswer(response, server)
      return { error, elsewhere: request.repeatable && error.status === 503 }
    } catch (cause) {
      request.signal.throwIfAborted()
      if (cause instanceof MeshError) throw cause
      return failureOf(request, server, cause)
    } finally {
      clearTimeout(timer)
    }
  }
}

/** The URL as it is put before a path, or undefined if it is not one of http. */
export function baseUrlOf(text: string): string | undefined {
  const url = URL.parse(text)
  return url === null || !/^https?:$/.test(url.protocol) ? undefined : url.href.replace(/\/+$/, '')
}

function failureOf(request: Request, server: string, cause: unknown): { error: MeshError; elsewhere: boolean } {
  const detail = `${server}: ${reasonOf(cause)}`
  const facts = { server }
  if (request.repeatable || neverSent(cause)) {
    return { error: new MeshError('UNAVAILABLE', detail, { cause, facts }), elsewhere: true }
  }
  return { error: new MeshError('OUTCOME_UNKNOWN', detail, { cause, facts }), elsewhere: false }
}

/**
 * True if no connection was made. Only Node tells; a browser does not say why a fetch failed, so there it stays unknown.
 * `EHOSTUNREACH` alone would not do: an established connection can end with it, too.
 */
function neverSent(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if (error instanceof AggregateError && error.errors.length > 0) return error.errors.every(neverSent)
  const { syscall, code } = error as Error & { syscall?: unknown; code?: unknown }
  if (syscall === 'connect' || syscall === 'getaddrinfo' || code === 'UND_ERR_CONNECT_TIMEOUT') return true
  return neverSent(error.cause)
}

/** `fetch failed` says nothing; its innermost cause does. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.cause !== undefined) return reasonOf(error.cause)
  const first: unknown = error instanceof AggregateError ? error.errors[0] : undefined
  return first === undefined ? error.message : reasonOf(first)
}

/** Of several servers one after the other, none of which answered. */
export function togetherOf(failures: readonly MeshError[]): MeshError {
  const [first] = failures
  if (failures.length === 1 && first !== undefined) return first
  const reasons = failures.map((error) => error.message).join('; ')
  return new MeshError('UNAVAILABLE', reasons, { cause: failures.at(-1) })
}
