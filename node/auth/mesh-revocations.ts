import { isRevocable } from '#gateway/auth/credential'
import type { Authority } from '#gateway/auth/authority'
import type { PeerId } from '#protocol/ids'
import { encodeRecords } from '#protocol/log/record'
import { utf8 } from '#protocol/text'
import { revocationsTopic } from '#protocol/topic-name'
import type { PeerDriver } from '../driver.ts'
import { InternalRecords } from '../internal-records.ts'
import type { Log } from '../log.ts'

/** One record of `$revocations`. In whatever order they are read, the same tokens are good no more. */
interface Revocation {
  readonly id: string
  /** When the token expires anyway; Infinity: it does not, or nobody knows. */
  readonly untilMs: number
}

export interface MeshRevocationsDeps {
  readonly driver: PeerDriver
  readonly authority: Pick<Authority, 'revoke' | 'awaitRevocations'>
  readonly self: PeerId
  readonly log: Pick<Log, 'warn'>
}

/**
 * Revocations travel as records of a topic of the mesh that every member keeps (DESIGN §10): one told on one side of a split is
 * on this side's disks at once, and on the other's after the heal.
 */
export class MeshRevocations {
  readonly #deps: MeshRevocationsDeps
  readonly #records: InternalRecords<Revocation>
  #isReading = false
  #isBehind = false
  /** Has all that was on this disk been read? Undefined while it is for the first time: then whoever asks waits for the peer to start. */
  #isKnown: boolean | undefined

  constructor(deps: MeshRevocationsDeps) {
    const { driver, self } = deps
    this.#deps = deps
    this.#records = new InternalRecords(self, decodeRevocations)
    deps.authority.awaitRevocations(() => this.#isKnown !== false)
    // For as long as the driver runs.
    driver.onAdvance(driver.peer.topicIdOf(revocationsTopic), () => void this.read())
  }

  /**
   * Reads on; resolves when all that this disk has is known, or what cannot be read is left for the next time: when it was repaired,
   * or is lost. Until all was read once no token is good here.
   */
  async read(): Promise<void> {
    this.#isBehind = true
    if (this.#isReading) return
    this.#isReading = true
    const { driver, log } = this.#deps
    try {
      while (this.#isBehind) {
        this.#isBehind = false
        const revocations = await this.#records.readOn({
          feeds: () => driver.feeds(driver.peer.topicIdOf(revocationsTopic)),
          read: (...range) => driver.read(...range),
        })
        for (const { id, untilMs } of revocations) this.#take(id, untilMs)
      }
      if (!this.#records.isComplete)
        log.warn('revocations could not be read', { error: 'they are damaged on this disk' })
    } catch (error) {
      log.warn('revocations could not be read', { error: String(error) })
    } finally {
      this.#isReading = false
      this.#isKnown ||= this.#records.isComplete
    }
  }

  #take(id: string, untilMs: number): void {
    const { authority, log } = this.#deps
    if (!authority.revoke(id, untilMs)) log.warn('a token is not revoked here: there are too many', { id })
  }
}

export function encodeRevocation({ id, untilMs }: Revocation): ReturnType<typeof encodeRecords> {
  const value = utf8(JSON.stringify({ id, ...(Number.isFinite(untilMs) && { untilMs }) }))
  return encodeRecords([{ value, headers: { 'content-type': 'application/json' } }])
}

function decodeRevocations(text: string): readonly Revocation[] | undefined {
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch {
    return undefined
  }
  const { id, untilMs = Number.POSITIVE_INFINITY } = (document ?? {}) as {
    readonly id?: unknown
    readonly untilMs?: unknown
  }
  if (typeof id !== 'string' || !isRevocable(id) || typeof untilMs !== 'number') return undefined
  return [{ id, untilMs }]
}
