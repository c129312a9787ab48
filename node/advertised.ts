import { limits } from '#protocol/limits'
import { type NodeConfig, wildcards } from './config.ts'

/** Where a peer has come to listen: `host:port` of the peer port, one for each interface, and host and port for clients. */
export interface Bound {
  readonly peers: readonly string[]
  readonly clients: { readonly host: string; readonly port: number; readonly url: string }
}

/** What others are told. A peer on all interfaces of a large machine may have more addresses than a member may name. */
export function advertisedAddresses({ advertise }: Pick<NodeConfig, 'advertise'>, { peers }: Bound): readonly string[] {
  return advertise === undefined ? peers.slice(0, limits.memberAddressesMax) : [advertise]
}

/**
 * The URL that clients are told. A gateway on all interfaces is reached where peers reach this one, for nobody can dial
 * `0.0.0.0`.
 */
export function advertisedHttp(config: Pick<NodeConfig, 'advertise' | 'advertiseHttp'>, bound: Bound): string {
  if (config.advertiseHttp !== undefined) return config.advertiseHttp
  const { host, port, url } = bound.clients
  const [address] = advertisedAddresses(config, bound)
  return wildcards.includes(host) && address !== undefined ? `http://${address.replace(/:\d+$/, '')}:${port}` : url
}
