import { Authority } from '#gateway/auth/authority'
import type { SignedTokens } from '#gateway/auth/signed-tokens'
import { MeshError } from '#protocol/errors'
import { parseTokenFile } from '#protocol/token-file'
import type { NodeConfig } from '../config.ts'
import type { Log } from '../log.ts'
import { nodeDigests } from '../node-digests.ts'
import { FileWatch } from './file-watch.ts'
import type { KeySource } from './key-source.ts'

type AuthConfig = Pick<NodeConfig, 'tokensFile' | 'jwtKeys' | 'jwtAudience' | 'jwtIssuer'>

export interface OpenAuthority {
  readonly authority: Authority
  stop(): void
}

/** Bytes of a file with as many tokens as there may be. */
const tokensBytesMax = 16 * 1024 * 1024

/**
 * What tells tokens from what is none, as configured; undefined where nobody is asked for one. Follows the files and the URL
 * until it is stopped. Rejects with CONFIG_INVALID for files that cannot be used.
 */
export async function openAuthority(config: AuthConfig, log: Log): Promise<OpenAuthority | undefined> {
  const { tokensFile, jwtKeys, jwtAudience: audience, jwtIssuer: issuer } = config
  if (tokensFile === undefined && jwtKeys === undefined) return undefined
  const wallMs = (): number => Date.now()
  let keySource: KeySource | undefined
  let signed: SignedTokens | undefined
  if (jwtKeys !== undefined) {
    // Not at the top: who has no signed tokens starts without what checks them.
    const [{ SignedTokens }, { keySourceOf }] = await Promise.all([
      import('#gateway/auth/signed-tokens'),
      import('./key-source.ts'),
    ])
    const refresh = async (): Promise<void> => keySource?.refresh()
    signed = new SignedTokens({ audience, issuer }, { digests: nodeDigests, wallMs, refresh })
    keySource = keySourceOf(jwtKeys, { keys: signed, log })
  }
  const authority = new Authority({ digests: nodeDigests, wallMs, signed })
  const tokens = tokensFile === undefined ? undefined : tokensWatch(tokensFile, authority, log)
  await keySource?.start()
  await tokens?.start().catch((cause: unknown) => {
    if (cause instanceof MeshError) throw cause
    throw invalid(tokensFile ?? '', `cannot be read (${(cause as NodeJS.ErrnoException).code ?? String(cause)})`, cause)
  })
  return {
    authority,
    stop() {
      keySource?.stop()
      tokens?.stop()
      authority.stop()
    },
  }
}

function tokensWatch(path: string, authority: Authority, log: Log): FileWatch {
  const onText = (text: string): void => {
    const tokens = parseTokenFile(text)
    if (typeof tokens === 'string') throw invalid(path, tokens)
    authority.tokens.replace(tokens)
    authority.look()
    log.info('tokens were read', { tokens: tokens.length })
  }
  const onFault = (error: unknown): void =>
    log.warn('tokens could not be read again: those before stay', { error: String(error) })
  return new FileWatch({ path, bytesMax: tokensBytesMax }, { onText, onFault })
}

const invalid = (path: string, complaint: string, cause?: unknown): MeshError =>
  new MeshError('CONFIG_INVALID', `--tokens-file ${path} ${complaint}`, cause === undefined ? {} : { cause })
