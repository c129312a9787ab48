import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { multiaddr } from '@multiformats/multiaddr'
import { unreachable } from '#protocol/assert'
import { parseAddress } from '../config.ts'
import type { DialTarget } from '../driver-ports.ts'
import type { Libp2p } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { PeerId } from '#protocol/ids'

/** Where this node listens, as `host:port`, those that other machines can reach first. */
export function listenedAddresses(node: Pick<Libp2p, 'getMultiaddrs'>): string[] {
  const addresses = node.getMultiaddrs().flatMap((address) => hostPortOf(address) ?? [])
  const isLocal = (address: string): boolean => address.startsWith('127.') || address.startsWith('[::1]')
  return [...new Set(addresses)].toSorted((a, b) => Number(isLocal(a)) - Number(isLocal(b)))
}

/** Peers listen there unless told otherwise (DESIGN §11): the port of a seed that names none. */
const peerPortDefault = 7400

/** All addresses of `host:port` or a bare host, IP or DNS name; names are looked up anew each time. Rejects with a reason. */
export async function multiaddrsOf(address: string, peer?: PeerId): Promise<Multiaddr[]> {
  const { host, port } = parseAddress(address) ?? { host: address, port: peerPortDefault }
  const found = isIP(host) === 0 ? await lookup(host, { all: true }) : [{ address: host, family: isIP(host) }]
  const suffix = peer === undefined ? '' : `/p2p/${peer}`
  return found.map(({ address: ip, family }) => multiaddr(`/ip${family}/${ip}/tcp/${port}${suffix}`))
}

function hostPortOf(address: Multiaddr): string | undefined {
  const [ip, port] = address.getComponents()
  if (ip?.value === undefined || port?.name !== 'tcp') return undefined
  return ip.name === 'ip6' ? `[${ip.value}]:${port.value}` : `${ip.value}:${port.value}`
}

/** Where to dial, in order. Rejects if there is nothing: with an AggregateError that says why for each address. */
export async function addressesOf(target: DialTarget): Promise<Multiaddr[]> {
  switch (target.type) {
    case 'seed':
      return multiaddrsOf(target.address)
    case 'member': {
      const lookups = await Promise.allSettled(target.addresses.map((text) => multiaddrsOf(text, target.peer)))
      const found = lookups.flatMap((result) => (result.status === 'fulfilled' ? result.value : []))
      if (found.length > 0) return found
      throw new AggregateError(lookups.map((result) => (result.status === 'rejected' ? result.reason : undefined)))
    }
    default:
      return unreachable(target)
  }
}
