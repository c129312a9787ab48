import { MeshError } from '#protocol/errors'
import type { Holding } from './checkers/equality.ts'
import type { LedgerPeer } from './ledger.ts'

/** A peer that can be told from others by what they say of it. */
export type HoldingPeer = LedgerPeer & { readonly peerId: string }

/** What each of these peers says that it holds itself of each topic that it has at home. */
export async function homeHoldings(
  peers: readonly HoldingPeer[],
  topics: readonly string[],
): Promise<readonly Holding[]> {
  const each = topics.map((topic) => Promise.all(peers.map((peer) => holdingOf(peer, topic))))
  return (await Promise.all(each)).flat(2)
}

/** Nothing unless it has the topic at home. */
async function holdingOf(peer: HoldingPeer, topic: string): Promise<readonly Holding[]> {
  try {
    const { replicas } = await peer.client.topicStatus(topic)
    const own = replicas.find(({ peer: id }) => id === peer.peerId)
    return own?.role === 'home' ? [{ peer: peer.name, topic, feeds: own.feeds }] : []
  } catch (error) {
    // Who does not know it may have it at home and lack all of it.
    if (error instanceof MeshError && error.code === 'TOPIC_NOT_FOUND') return [{ peer: peer.name, topic, feeds: [] }]
    throw error
  }
}
