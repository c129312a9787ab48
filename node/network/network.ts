import { listenedAddresses } from './addresses.ts'
import { Admission } from './admission.ts'
import { createMeshNode, expectMembers, startListening } from './libp2p-node.ts'
import { LabFilter } from './lab-filter.ts'
import { Links } from './links.ts'
import { networkLimits } from './network-limits.ts'
import { type StrangerNews, Strangers } from './strangers.ts'
import { peerIdOf } from '../identity.ts'
import { realClock } from '../real-clock.ts'
import type { NetworkTiming } from './network-limits.ts'
import type { NetworkLog } from './links.ts'
import type { Transport, TransportListener } from '../driver-ports.ts'
import type { Ed25519PrivateKey } from '@libp2p/interface'
import type { PeerId } from '#protocol/ids'

export interface NetworkConfig {
  readonly privateKey: Ed25519PrivateKey
  readonly cluster: string
  /** Of the cluster (`admission.ts`); none, where whoever reaches the port is trusted. */
  readonly secrets?: readonly string[]
  /** `host:port`; port 0 takes a free one. Whether it may be beyond loopback is decided before (INSECURE_LISTEN). */
  readonly listen: string
  /** Whether links may be cut by hand. */
  readonly lab: boolean
  readonly log: NetworkLog
  readonly onStranger?: (news: StrangerNews) => void
  readonly timing?: Partial<NetworkTiming>
}

export interface Network {
  readonly transport: Transport
  readonly peerId: PeerId
  /** Where this peer listens, as `host:port`, those that other machines can reach first. */
  readonly addresses: readonly string[]
  /** Connections of strangers, since the start. */
  readonly strangers: () => number
  /** The registry has so many members, this peer included: connections are counted against that. */
  expectMembers(members: number): void
  readonly lab?: Pick<LabFilter, 'drop' | 'dropped' | 'setWays' | 'ways'>
  /** Passes on what was sent (at most a second per link), then closes everything. The listener hears nothing more. */
  stop(): Promise<void>
}

/** Starts listening. The listener is never called from within a call of the transport. Errors: PORT_IN_USE, CONFIG_INVALID. */
export async function createTransport(config: NetworkConfig, listener: TransportListener): Promise<Network> {
  const lab = config.lab ? new LabFilter(listener, { clock: realClock, random: { next: Math.random } }) : undefined
  const refuses = (peer: PeerId): boolean => lab?.refuses(peer) ?? false
  const strangers = new Strangers(config.log, config.onStranger)
  const node = await createMeshNode({ ...config, refuses, strangers })
  const self = peerIdOf(config.privateKey)
  const { cluster, secrets = [], log } = config
  const { linkSetupMs = networkLimits.linkSetupMs } = config.timing ?? {}
  const admission = new Admission({ self, cluster, secrets, timeoutMs: linkSetupMs }, { node, strangers, refuses })
  const links = new Links({ self, cluster, linkSetupMs }, { node, admission, listener: lab ?? listener, refuses, log })
  lab?.attach(links)
  await Promise.all([admission.start(), links.start()])
  await startListening(node, config.listen)
  return {
    transport: lab ?? links,
    peerId: self,
    addresses: listenedAddresses(node),
    strangers: () => strangers.count,
    expectMembers: (members) => expectMembers(node, members),
    ...(lab === undefined ? {} : { lab }),
    stop: async () => {
      lab?.stop()
      await links.stop()
      await node.stop()
    },
  }
}
