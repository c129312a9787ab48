import { readFile } from 'node:fs/promises'
import { MeshError } from '#protocol/errors'
import { secretsMax } from './network/admission-proof.ts'

/** Characters: of a guessable secret, a handshake that was overheard would tell. */
const secretLengthMin = 32
const secretLengthMax = 1_024

/**
 * The secrets in a file, one to a line; none without a file. Throws MeshError CONFIG_INVALID when it cannot be read, has no
 * secret or more than two, or one that is too short.
 */
export async function loadSecrets(file: string | undefined): Promise<readonly string[]> {
  if (file === undefined) return []
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw invalid(file, `cannot be read (${(cause as NodeJS.ErrnoException).code ?? 'unknown error'})`, cause)
  })
  const secrets = text.split('\n').flatMap((line) => line.trim() || [])
  if (secrets.length === 0) throw invalid(file, 'has no secret: write one to its first line')
  if (secrets.length > secretsMax)
    throw invalid(file, `has ${secrets.length} lines: one secret, or two while it changes`)
  for (const [index, { length }] of secrets.entries()) {
    if (length >= secretLengthMin && length <= secretLengthMax) continue
    const bounds = `a secret has ${secretLengthMin} to ${secretLengthMax}, such as what \`openssl rand -hex 32\` prints`
    throw invalid(file, `line ${index + 1} has ${length} characters: ${bounds}`)
  }
  return secrets
}

const invalid = (file: string, complaint: string, cause?: unknown): MeshError =>
  new MeshError('CONFIG_INVALID', `--secret-file ${file} ${complaint}`, cause === undefined ? {} : { cause })
