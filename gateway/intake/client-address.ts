import { BlockList, isIP } from 'node:net'
import { MeshError } from '#protocol/errors'

/** Where a socket comes from. */
export interface SocketAddress {
  /** What its limits count under. */
  readonly client: string
  /** Listed as a proxy: its clients are those that it names. */
  readonly isProxy: boolean
}

/** Says which client a request counts for: by its address, or behind a proxy that is listed, by what that says of it. */
export class ClientAddresses {
  readonly #proxies = new BlockList()
  readonly #hasProxies: boolean

  /** `proxies`: addresses, or subnets such as `10.0.0.0/8`. Throws CONFIG_INVALID for what is neither. */
  constructor(proxies: readonly string[]) {
    this.#hasProxies = proxies.length > 0
    for (const proxy of proxies) this.#trust(proxy)
  }

  #trust(proxy: string): void {
    const [address = '', prefix, ...rest] = proxy.split('/')
    const family = isIP(address)
    const bits = Number(prefix ?? (family === 6 ? 128 : 32))
    const isSound = /^\d{1,3}$/.test(prefix ?? '0') && bits <= (family === 6 ? 128 : 32)
    if (family === 0 || !isSound || rest.length > 0) {
      throw new MeshError('CONFIG_INVALID', `${proxy} is neither an address nor a subnet such as 10.0.0.0/8.`)
    }
    this.#proxies.addSubnet(address, bits, family === 6 ? 'ipv6' : 'ipv4')
  }

  ofSocket(remoteAddress: string | undefined): SocketAddress {
    const address = plain(remoteAddress ?? '')
    return { client: subscriberOf(address), isProxy: this.#isProxy(address) }
  }

  /**
   * The client of a request that a proxy passes on: the last of `X-Forwarded-For` that is no proxy itself. What stands before it
   * the client may have made up. Asked only of requests of proxies.
   */
  ofForwarded(forwardedFor: string | undefined, proxy: SocketAddress): string {
    const hops = (forwardedFor ?? '')
      .slice(-forwardedLengthMax)
      .split(',')
      .map((hop) => plain(hop.trim()))
    const client = hops.findLast((hop) => !this.#isProxy(hop)) ?? ''
    return isIP(client) === 0 ? proxy.client : subscriberOf(client)
  }

  #isProxy(address: string): boolean {
    const family = this.#hasProxies ? isIP(address) : 0
    return family !== 0 && this.#proxies.check(address, family === 6 ? 'ipv6' : 'ipv4')
  }
}

/** The end of the field is what proxies have added. */
const forwardedLengthMax = 1_024

/** An IPv4 address is the same one however it is written: `::ffff:10.0.0.1`, with a zone, with a port. */
function plain(address: string): string {
  const bare = address
    .replace(/%.*$/, '')
    .replace(/^\[(.*)\](:\d+)?$/, '$1')
    .replace(/^(\d+(?:\.\d+){3}):\d+$/, '$1')
  if (isIP(bare) !== 6) return bare
  const groups = groupsOf(bare)
  const isMapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff
  if (!isMapped) return bare
  const [high = 0, low = 0] = groups.slice(6)
  return [high >> 8, high & 255, low >> 8, low & 255].join('.')
}

/** One subscriber of a network has a whole /64 (RFC 6177), and could take another address of it for each request. */
const subscriberOf = (address: string): string =>
  isIP(address) === 6
    ? `${groupsOf(address)
        .slice(0, 4)
        .map((group) => group.toString(16))
        .join(':')}::/64`
    : address

/** The eight groups of an IPv6 address (RFC 4291 §2.2). */
function groupsOf(address: string): number[] {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address)
  const [, start = '', ...bytes] = dotted ?? []
  const [a = 0, b = 0, c = 0, d = 0] = bytes.map(Number)
  const text = dotted === null ? address : `${start}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`
  const [head = '', tail] = text.split('::')
  const groups = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16))
  const before = groups(head)
  const after = tail === undefined ? [] : groups(tail)
  return [...before, ...Array.from({ length: 8 - before.length - after.length }, () => 0), ...after]
}
