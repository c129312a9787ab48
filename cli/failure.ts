import { MeshError } from '#protocol/errors'

/** `GRAPEVINE_CODE: what. why. what to do.` A stack only for who asks for it. */
export function failureText(thrown: unknown, options: { readonly debug: boolean }): string {
  const error = thrown instanceof MeshError ? thrown : surprise(thrown)
  const parts = [error.title, error.message, error.hint].map(sentence)
  const text = `GRAPEVINE_${error.code}: ${[...new Set(parts)].join(' ')}`
  return options.debug && thrown instanceof Error ? `${text}\n${thrown.stack}` : text
}

function surprise(thrown: unknown): MeshError {
  const reason = thrown instanceof Error ? thrown.message : String(thrown)
  return new MeshError('INTERNAL', `${reason}. --debug shows where`, { cause: thrown })
}

const sentence = (text: string): string => {
  const trimmed = text.trim()
  return /[.!?:]$/.test(trimmed) ? trimmed : `${trimmed}.`
}
