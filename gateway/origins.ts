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
 * that somebody has pointed to this machine would make a page ours (DNS rebinding). Such a page may even read what it is
 * answered, and browsers send no `Origin` with its GETs. So where nothing else holds it back, on loopback without tokens,
 * whoever asks has to know us by such a name.
 */
export class Origins {
  readonly #allowed: ReadonlySet<string>
  readonly #ownHosts: ReadonlySet<string>

  readonly #asksForName: boolean
  /** The last host that was found to be ours: nearly all requests have the same. */
  #knownHost: string | undefined

  /** `isOpenOnLoopback`: no tokens are asked for, and nobody but this machine is listened to. */
  constructor({ allowOrigins, ownHosts }: OriginsConfig, { isOpenOnLoopback = false } = {}) {
    this.#allowed = new Set(allowOrigins)
    this.#ownHosts = new Set(['localhost', ...ownHosts.map((host) => host.toLowerCase())])
    this.#asksForName = isOpenOnLoopback && !this.#allowed.has('*')
  }

  /** Was it listed? Such an origin is another one, and is told so by CORS. */
  lists(origin: string): boolean {
    return this.#allowed.has('*') || this.#allowed.has(origin)
  }

  /** Why such a request is not answered (ORIGIN_REFUSED), or undefined. */
  fault({ origin, host }: RequestHead): MeshError | undefined {
    // HTTP/1.0, which no browser speaks, has none.
    if (this.#asksForName && host !== undefined && !this.#isKnown(host)) {
      return new MeshError('ORIGIN_REFUSED', `This peer does not know itself as ${JSON.stringify(host.slice(0, 80))}.`)
    }
    if (origin === undefined || this.lists(origin) || this.#isOwn(origin, host)) return undefined
    const shown = JSON.stringify(origin.slice(0, 80))
    return new MeshError('ORIGIN_REFUSED', `A page of ${shown} may not use this peer.`)
  }

  #isOwn(origin: string, host = ''): boolean {
    if (parseOrigin(origin) !== origin || origin === 'null' || origin === '*') return false
    const page = new URL(origin)
    return page.host === hostOf(host, page.protocol) && this.#isOurs(page.hostname)
  }

  #isKnown(host: string): boolean {
    if (host === this.#knownHost) return true
    // No browser can send that, and whoever takes it apart says what is wrong with it.
    if (/[/\\?#@]/.test(host) || !URL.canParse(`http://${host}`)) return true
    const known = hostOf(host, 'http:')
    if (known === undefined || !this.#isOurs(new URL(`http://${known}`).hostname)) return false
    this.#knownHost = host
    return true
  }

  #isOurs(hostname: string): boolean {
    return isAddress(hostname) || this.#ownHosts.has(hostname)
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
