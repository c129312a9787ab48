import type { Digests } from '#protocol/digests'
import { MeshError } from '#protocol/errors'
import { limits } from '#protocol/limits'
import { hexOf, utf8 } from '#protocol/text'
import type { Principal } from './principal.ts'

interface Ticket {
  readonly principal: Principal
  readonly untilMs: number
}

export interface TicketsDeps {
  readonly digests: Digests
  readonly nowMs: () => number
}

/**
 * What a browser puts into a URL in place of its token, since `EventSource` and `WebSocket` there take no headers: good once,
 * for 30 s, at this peer. Whoever finds one in a log finds nothing.
 */
export class Tickets {
  readonly #deps: TicketsDeps
  /** By their hashes, the oldest first. */
  readonly #tickets = new Map<string, Ticket>()

  constructor(deps: TicketsDeps) {
    this.#deps = deps
  }

  /** Throws OVERLOADED. */
  give(principal: Principal): string {
    const nowMs = this.#deps.nowMs()
    for (const [hash, { untilMs }] of this.#tickets) {
      if (untilMs > nowMs) break
      this.#tickets.delete(hash)
    }
    const own = [...this.#tickets].filter(([, ticket]) => ticket.principal.name === principal.name)
    if (own.length >= limits.ticketsOfPrincipalMax && own[0] !== undefined) this.#tickets.delete(own[0][0])
    if (this.#tickets.size >= limits.ticketsMax) {
      throw new MeshError('OVERLOADED', `This peer has given ${limits.ticketsMax} tickets that are not used yet.`)
    }
    const text = `gvt_${hexOf(crypto.getRandomValues(new Uint8Array(32)))}`
    this.#tickets.set(this.#hashOf(text), { principal, untilMs: nowMs + limits.ticketMs })
    return text
  }

  /** Whose it is; it is no ticket any more. Throws TICKET_INVALID. */
  take(text: string): Principal {
    const principal = this.look(text)
    this.#tickets.delete(this.#hashOf(text))
    return principal
  }

  /** Whose it is. Throws TICKET_INVALID. */
  look(text: string): Principal {
    const ticket = this.#tickets.get(this.#hashOf(text))
    if (ticket !== undefined && ticket.untilMs > this.#deps.nowMs()) return ticket.principal
    throw new MeshError('TICKET_INVALID')
  }

  #hashOf(text: string): string {
    return hexOf(this.#deps.digests.sha256(utf8(text)))
  }
}
