import { open, readFile, rename, rm } from 'node:fs/promises'
import { MeshError } from '#protocol/errors'
import { parseTokenFile, type StoredToken, tokenFileText } from '#protocol/token-file'

/** The tokens of the file. Throws CONFIG_INVALID. */
export async function readTokens(path: string): Promise<readonly StoredToken[]> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw unusable(path, `cannot be read (${codeOf(cause)})`, cause)
  })
  const tokens = parseTokenFile(text)
  if (typeof tokens === 'string') throw unusable(path, tokens)
  return tokens
}

/**
 * Puts what `change` makes of its tokens in place of the file, whole or not at all: peers read it at any time. A file that is not there
 * has none. Who else changes it meanwhile is refused. Throws CONFIG_INVALID.
 */
export async function changeTokens(
  path: string,
  change: (tokens: readonly StoredToken[]) => readonly StoredToken[],
): Promise<void> {
  const next = `${path}.next`
  // Only its owner may read it, although it has no tokens: it says who may do what.
  await using file = await open(next, 'wx', 0o600).catch((cause: unknown) => {
    if (codeOf(cause) !== 'EEXIST') throw unusable(path, `cannot be written (${codeOf(cause)})`, cause)
    throw unusable(path, `is being changed. If that was interrupted, remove ${next}`, cause)
  })
  try {
    await file.writeFile(tokenFileText(change(await tokensOf(path))))
    await file.sync()
    await rename(next, path)
  } catch (error) {
    await rm(next, { force: true })
    throw error
  }
}

async function tokensOf(path: string): Promise<readonly StoredToken[]> {
  try {
    return await readTokens(path)
  } catch (error) {
    if (error instanceof MeshError && codeOf(error.cause) === 'ENOENT') return []
    throw error
  }
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException | undefined)?.code ?? 'unknown error'

const unusable = (path: string, problem: string, cause?: unknown): MeshError =>
  new MeshError('CONFIG_INVALID', `${path} ${problem}`, cause === undefined ? {} : { cause })
