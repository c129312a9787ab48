import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { z } from 'zod'
import { limits } from '#protocol/limits'
import type { PeerId } from '#protocol/ids'

const nonce = z.string().regex(/^[0-9a-f]{64}$/)
const mac = z.string().regex(/^[0-9a-f]{64}$/)

/** Secrets that one peer may know at a time: its own, and while they are exchanged the one before. */
export const secretsMax = 2

/** What is said before a peer is admitted, in this order: hello, challenge, proofs, proof. JSON, one frame each. */
export const admissionMessages = {
  hello: z.strictObject({ cluster: z.string().max(limits.memberNameBytesMax), nonce }),
  challenge: z.strictObject({ nonce }),
  /** One for each secret that the asker knows. */
  proofs: z.strictObject({ proofs: z.array(mac).min(1).max(secretsMax) }),
  /** With the secret that both know. */
  proof: z.strictObject({ proof: mac }),
  /** `cluster`: the one of the peer that refuses, if it tells. */
  refused: z.strictObject({
    refused: z.enum(['cluster', 'secret']),
    cluster: z.string().max(limits.memberNameBytesMax).optional(),
  }),
} as const

/** What both sides know of one handshake. */
export interface Handshake {
  readonly cluster: string
  /** Who asks, and who answers, as the encrypted connection has proved it. */
  readonly asker: PeerId
  readonly answerer: PeerId
  /** 32 random bytes in hex, of each side: so that what was said once is of no use again. */
  readonly askerNonce: string
  readonly answererNonce: string
}

export const newNonce = (): string => randomBytes(32).toString('hex')

/**
 * That one side knows the secret: HMAC-SHA256 (RFC 2104) over the handshake and its role in it, in hex. Bound to both peer ids,
 * so that nobody passes it on; to both nonces, so that nobody says it again; to the role, so that nobody says it back.
 */
export function proofOf(secret: string, role: 'asker' | 'answerer', handshake: Handshake): string {
  const { cluster, asker, answerer, askerNonce, answererNonce } = handshake
  const said = JSON.stringify(['grapevine admission 1', role, cluster, asker, answerer, askerNonce, answererNonce])
  return createHmac('sha256', secret).update(said).digest('hex')
}

/** The secret that one of these proofs was made with, of those that we know. */
export function provenSecret(
  proofs: readonly string[],
  secrets: readonly string[],
  role: 'asker' | 'answerer',
  handshake: Handshake,
): string | undefined {
  return secrets.find((secret) => proofs.some((proof) => isSame(proof, proofOf(secret, role, handshake))))
}

const isSame = (a: string, b: string): boolean =>
  a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b))
