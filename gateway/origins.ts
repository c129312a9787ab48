import { MeshError } from '#protocol/errors'

export interface OriginsConfig {
  /** Origins whose pages may use this gateway, such as `https://shop.example`, beside its own; `*` is any. */
  readonly allowOrigins: readonly string[]
  /** Names under which browsers know this gateway, beside IP addresses and `localhost`. */
  readonly ownHosts: readonly string[]
}

interface RequestHead {
  readonly origin?: string | undefined
  readonly host?: string | undefined
}

/**
 * Which web pages may use this gateway: those that are listed, and its own. A browser sends `Origin` with whatever may do
 * harm, a WebSocket handshake above all, which no other rule of it holds back; programs send none.
 *
 * A page is our own if its host is the one that was asked, and that is an address or a name that we know: else any name
 * that somebody has pointed to this machine would make a page ours (DNS rebinding).
 */
export class Origins {
  readonly #allowed: ReadonlySet<string>
  readonly #ownHosts: ReadonlySet<string>

  constructor({ allowOrigins, ownHosts }: OriginsConfig) {
    this.#allowed = new Set(allowOrigins)
    this.#ownHosts = new Set(['localhost', ...ownHosts.map((host) => host.toLowerCase())])
  }

  /** Was it listed? Such an origin is another one, and is told so by CORS. */
  lists(origin: string): boolean {
    return this.#allowed.has('*') || this.#allowed.has(origin)
  }

  /** Why such a request is not answered (ORIGIN_REFUSED), or undefined. */
  fault({ origin, host }: RequestHead): MeshError | undefined {
    if (origin === undefined || this.lists(origin) || this.#isOwn(origin, host)) return undefined
    const shown = JSON.stringify(origin.slice(0, 80))
    return new MeshError('ORIGIN_REFUSED', `A page of ${shown} may not use this peer.`)
  }

  #isOwn(origin: string, host = ''): boolean {
    if (parseOrigin(origin) !== origin || origin === 'null' || origin === '*') return false
    const page = new URL(origin)
    if (page.host !== hostOf(host, page.protocol)) return false
    return isAddress(page.hostname) || this.#ownHosts.has(page.hostname)
  }
}

/** `scheme://host[:port]` as browsers write it; or `*`, or `null`, the origin of a file or a frame in a sandbox. */
export function parseOrigin(text: string): string | undefined {
  if (text === '*' || text === 'null') return text
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) return undefined
  const { origin, href } = new URL(text)
  return href === `${origin}/` ? origin : undefined
}

/** As a URL of that scheme has it: without the port that goes without saying. */
const hostOf = (host: string, protocol: string): string | undefined =>
  /^[\w.:[\]-]+$/.test(host) && URL.canParse(`${protocol}//${host}`) ? new URL(`${protocol}//${host}`).host : undefined

const isAddress = (hostname: string): boolean => /^(\d{1,3}(\.\d{1,3}){3}|\[[0-9a-f:.]+\])$/.test(hostname)
