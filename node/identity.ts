import { createPrivateKey, createPublicKey, randomUUID } from 'node:crypto'
import { chmod, link, mkdir, open, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { generateKeyPair, privateKeyFromRaw } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { MeshError } from '#protocol/errors'
import type { Ed25519PrivateKey } from '@libp2p/interface'
import type { PeerId } from '#protocol/ids'

export interface Identity {
  readonly privateKey: Ed25519PrivateKey
  readonly peerId: PeerId
  /** The key file could be read by other users of this machine, until now: worth a warning. */
  readonly wasExposed: boolean
}

export const identityFileName = 'identity.key'

const ownerOnly = 0o600

/**
 * Who this peer is: the Ed25519 key in `directory`, made at the first start. The peer id is its public key, so the file
 * is the peer. Errors: DATA_UNUSABLE.
 */
export async function loadIdentity(directory: string): Promise<Identity> {
  const path = join(directory, identityFileName)
  try {
    await mkdir(directory, { recursive: true })
    const bytes = (await readIfThere(path)) ?? (await createKeyFile(directory, path))
    const wasExposed = await closeToOthers(path)
    return { ...parseKey(bytes, path), wasExposed }
  } catch (cause) {
    if (cause instanceof MeshError) throw cause
    throw new MeshError('DATA_UNUSABLE', `${path}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    })
  }
}

// The seed and the public key that follows from it (RFC 8032), 32 bytes each: the second half shows damage of the first.
function parseKey(bytes: Uint8Array, path: string): Omit<Identity, 'wasExposed'> {
  if (bytes.byteLength === 64 && publicKeyOf(bytes.subarray(0, 32)).equals(bytes.subarray(32))) {
    const privateKey = privateKeyFromRaw(bytes) as Ed25519PrivateKey
    return { privateKey, peerId: peerIdOf(privateKey) }
  }
  throw new MeshError('DATA_UNUSABLE', `${path} is not an Ed25519 key: restore it, or remove it to be another peer`)
}

// PKCS #8 of a seed is these bytes and the seed (RFC 8410 §7). libp2p computes the same in JavaScript, some 30 ms of a start.
function publicKeyOf(seed: Uint8Array): Buffer {
  const key = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed])
  const { x = '' } = createPublicKey(createPrivateKey({ key, format: 'der', type: 'pkcs8' })).export({ format: 'jwk' })
  return Buffer.from(x, 'base64url')
}

export const peerIdOf = (privateKey: Ed25519PrivateKey): PeerId => peerIdFromPrivateKey(privateKey).toString() as PeerId

// A key appears under its name only when it is whole and on disk: a crash in between leaves nothing or a stray file,
// never half a key. `link` fails if another process was faster; then its key is the one.
async function createKeyFile(directory: string, path: string): Promise<Uint8Array> {
  const key = await generateKeyPair('Ed25519')
  const temporary = `${path}.${randomUUID()}.new`
  try {
    await writeSynced(temporary, key.raw)
    await link(temporary, path)
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
  } finally {
    await rm(temporary, { force: true })
  }
  await syncDirectory(directory)
  return readFile(path)
}

async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'w', ownerOnly)
  try {
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
}

// The name of a file is durable once its directory is.
async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

// Copying a data directory often widens modes. Refusing to start would not make the key any safer: close it and say so.
async function closeToOthers(path: string): Promise<boolean> {
  const { mode } = await stat(path)
  if ((mode & 0o077) === 0) return false
  await chmod(path, ownerOnly)
  return true
}

async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

const hasCode = (error: unknown, code: string): boolean =>
  error instanceof Error && (error as NodeJS.ErrnoException).code === code
