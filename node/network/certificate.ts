import { generateKeyPair, randomBytes, sign, type X509Certificate } from 'node:crypto'
import { promisify } from 'node:util'
import { publicKeyFromProtobuf, publicKeyToProtobuf } from '@libp2p/crypto/keys'
import { InvalidCryptoExchangeError } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import type { Ed25519PrivateKey, PeerId as Libp2pPeerId, PublicKey } from '@libp2p/interface'
import { der, derTags, derValuesOf, objectId, sequence } from './der.ts'

/** Both as PEM. */
export interface Certificate {
  readonly cert: string
  readonly key: string
}

/** 1.3.6.1.4.1.53594.1.1: the public key of a libp2p identity, and its signature of the key of the certificate. */
const identityExtension = '2b0601040183a25a0101'
const ecdsaWithSha256 = sequence(objectId('2a8648ce3d040302'))
// Who is there is proven by keys alone, and the clock of a peer may be wrong by years: 2000 to "no end" (RFC 5280 §4.1.2.5).
const validity = sequence(
  der(derTags.utcTime, Buffer.from('000101000000Z')),
  der(derTags.generalizedTime, Buffer.from('99991231235959Z')),
)
const noName = sequence()

/**
 * A certificate that shows whose identity is behind a TLS connection (libp2p TLS 1.0.0, "Peer authentication"): signed by a key of its own
 * and, in an extension, by the identity. It may serve for any number of connections, which spares each some milliseconds.
 */
export async function certificateOf(identity: Ed25519PrivateKey): Promise<Certificate> {
  const { publicKey, privateKey } = await promisify(generateKeyPair)('ec', { namedCurve: 'P-256' })
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  const proof = await identity.sign(signedByIdentity(spki))
  const signedKey = sequence(
    der(derTags.octetString, publicKeyToProtobuf(identity.publicKey)),
    der(derTags.octetString, proof),
  )
  const extension = sequence(objectId(identityExtension), der(derTags.octetString, signedKey))
  const toBeSigned = sequence(
    der(derTags.context(0), der(derTags.integer, Buffer.from([2]))),
    der(derTags.integer, serialNumber()),
    ecdsaWithSha256,
    noName,
    validity,
    noName,
    spki,
    der(derTags.context(3), sequence(extension)),
  )
  const signature = sign('sha256', toBeSigned, privateKey)
  const certificate = sequence(toBeSigned, ecdsaWithSha256, der(derTags.bitString, Buffer.from([0]), signature))
  return {
    cert: pemOf(certificate),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

/**
 * Whose certificate that is. That its key is in the hands of whoever showed it is for TLS to prove; what binds it to an identity is the
 * signature of that key, so no other part of the certificate needs trust. Errors: InvalidCryptoExchangeError.
 */
export async function peerOfCertificate(certificate: X509Certificate): Promise<Libp2pPeerId> {
  const now = new Date()
  if (certificate.validFromDate > now || certificate.validToDate < now) {
    throw new InvalidCryptoExchangeError('its certificate is not valid at this time: look at the clocks')
  }
  if (!certificate.verify(certificate.publicKey))
    throw new InvalidCryptoExchangeError('its certificate is not self-signed')
  const { identity, proof } = signedKeyOf(certificate.raw)
  const spki = certificate.publicKey.export({ type: 'spki', format: 'der' })
  if (!(await identity.verify(signedByIdentity(spki), proof))) {
    throw new InvalidCryptoExchangeError('its certificate is not signed by its identity')
  }
  return peerIdFromPublicKey(identity)
}

const signedByIdentity = (spki: Uint8Array): Uint8Array => Buffer.concat([Buffer.from('libp2p-tls-handshake:'), spki])

/** Positive, and without a byte that DER would have left out. */
function serialNumber(): Uint8Array {
  const bytes = randomBytes(16)
  bytes[0] = ((bytes[0] as number) & 0x7f) | 0x40
  return bytes
}

function pemOf(certificate: Uint8Array): string {
  const lines =
    Buffer.from(certificate)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n')
}

/** What the extension says (RFC 5280 §4.1). */
function signedKeyOf(raw: Uint8Array): { readonly identity: PublicKey; readonly proof: Uint8Array } {
  const inside = (bytes: Uint8Array | undefined): Uint8Array[] =>
    (bytes === undefined ? undefined : derValuesOf(bytes))?.map(({ content }) => content) ?? []
  const toBeSigned = inside(inside(raw)[0])[0] ?? new Uint8Array()
  const extensions = derValuesOf(toBeSigned)?.find(({ tag }) => tag === derTags.context(3))
  const wanted = Buffer.from(identityExtension, 'hex')
  const extension = inside(inside(extensions?.content)[0])
    .map(inside)
    .find(([id]) => id !== undefined && wanted.equals(id))
  // Between its id and its value may stand that it is critical.
  const [key, proof] = inside(inside(extension?.at(-1))[0])
  if (key === undefined || proof === undefined) {
    throw new InvalidCryptoExchangeError('its certificate names no identity')
  }
  return { identity: publicKeyFromProtobuf(key), proof }
}
