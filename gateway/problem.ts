import { type ErrorCode, MeshError } from '#protocol/errors'
import type { Broker, Unreadiness } from './broker.ts'
import { returnMs } from './farewell.ts'

export const problemMediaType = 'application/problem+json'

/** An error as RFC 9457 problem details, with the code of the catalogue; facts of the error are extension members. */
export interface Problem {
  /** Where the page about its code is, at any peer. */
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly code: string
  readonly retryable: boolean
  readonly hint: string
  /** Name of the peer that says so. */
  readonly peer: string
  readonly [fact: string]: unknown
}

/** Told of every error that is our own mistake; what happened never leaves in the answer. */
export type ReportError = (error: unknown) => void

export class Problems {
  readonly #peer: () => string
  readonly #report: ReportError
  readonly #onProblem: (error: MeshError) => void

  constructor(peer: () => string, report: ReportError, onProblem: (error: MeshError) => void = () => {}) {
    this.#peer = peer
    this.#report = report
    this.#onProblem = onProblem
  }

  of(thrown: unknown): Problem {
    const error = this.#presentable(thrown)
    this.#onProblem(error)
    return {
      ...error.facts,
      type: `/problems/${error.code}`,
      title: error.title,
      status: error.status,
      detail: error.message,
      code: error.code,
      retryable: error.retryable,
      hint: error.hint,
      peer: this.#peer(),
    }
  }

  response(thrown: unknown, headers: Readonly<Record<string, string>> = {}): Response {
    const problem = this.of(thrown)
    return new Response(`${JSON.stringify(problem)}\n`, {
      status: problem.status,
      headers: { ...problemFields(problem), ...headers },
    })
  }

  /** Anything but a MeshError with an HTTP status is a surprise, also one that only start-up should meet. */
  #presentable(thrown: unknown): MeshError {
    if (thrown instanceof MeshError && thrown.status !== 0) return thrown
    this.#report(thrown)
    return new MeshError('INTERNAL')
  }
}

/** Header fields that go with a problem. Who is to come back later is told when: not all at once. */
export function problemFields({ status, code, retryMs = returnMs() }: Problem): Record<string, string> {
  const type = { 'content-type': problemMediaType }
  if (status === 401) return { ...type, 'www-authenticate': challengeOf(code) }
  if (status !== 503 && status !== 429) return type
  return { ...type, 'retry-after': String(Math.ceil(Number(retryMs) / 1_000)) }
}

/** RFC 6750 §3. */
const challengeOf = (code: string): string =>
  `Bearer realm="grapevine"${code === 'AUTH_REQUIRED' ? '' : ', error="invalid_token"'}`

/** The request is malformed at `field`: a query parameter, a header, or a path into the body such as `records[2].key`. */
export const invalid = (field: string, problem: string): MeshError =>
  new MeshError('BAD_REQUEST', `${field} ${problem}.`, { facts: { field } })

const codes = {
  starting: 'UNAVAILABLE',
  draining: 'DRAINING',
  decommissioned: 'DECOMMISSIONED',
  forgotten: 'FORGOTTEN',
} as const satisfies Record<Unreadiness, ErrorCode>

export const notReady = (reason: Unreadiness = 'starting'): MeshError =>
  new MeshError(codes[reason], `This peer is ${reason}.`)

/** Does the peer serve readers? */
export const isServing = ({ ready, reason }: ReturnType<Broker['ready']>): boolean =>
  ready || reason === 'decommissioned' || reason === 'forgotten'
