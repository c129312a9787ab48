import { errorCatalogue, MeshError, type ErrorCode } from '#protocol/errors'

/** The MeshError of an answer that is not 2xx: of its problem document (RFC 9457), or of its status when there is none. */
export async function errorOfAnswer(response: Response, server: string): Promise<MeshError> {
  const isProblem = (response.headers.get('content-type') ?? '').includes('json')
  const problem: unknown = isProblem ? await response.json().catch(() => undefined) : await response.body?.cancel()
  return errorOfProblem(problem, { status: response.status, server })
}

/**
 * `facts` of the error carry `status`, `server` and what the problem says beyond code and detail. A code that this
 * version does not know becomes INTERNAL or BAD_REQUEST, and `facts.code` keeps it.
 */
export function errorOfProblem(
  problem: unknown,
  answer: { readonly status: number; readonly server: string },
): MeshError {
  if (!isProblem(problem)) {
    const detail = `${answer.server} answered ${answer.status} without saying why: is it a Grapevine gateway?`
    return new MeshError(answer.status >= 502 ? 'UNAVAILABLE' : 'INTERNAL', detail, { facts: { ...answer } })
  }
  const facts = { ...problem, ...answer }
  return new MeshError(knownCode(problem.code, answer.status), problem.detail ?? problem.title, { facts })
}

interface Problem {
  readonly code: string
  readonly title?: string
  readonly detail?: string
}

const isProblem = (value: unknown): value is Problem =>
  typeof value === 'object' && value !== null && 'code' in value && typeof value.code === 'string'

function knownCode(code: string, status: number): ErrorCode {
  if (Object.hasOwn(errorCatalogue, code)) return code as ErrorCode
  return status >= 500 ? 'INTERNAL' : 'BAD_REQUEST'
}
