import { MeshError } from '#protocol/errors'
import type { ProcessPeer } from '../integration/process-peer.ts'
import type { Holding } from '#lab/ledger/checkers/equality'

/** What each of these peers says that it holds itself of each topic that it has at home. */
export async function homeHoldings(
  peers: readonly ProcessPeer[],
  topics: readonly string[],
): Promise<readonly Holding[]> {
  const each = topics.map((topic) => Promise.all(peers.map((peer) => holdingOf(peer, topic))))
  return (await Promise.all(each)).flat(2)
}

/** Nothing unless it has the topic at home. */
async function holdingOf(peer: ProcessPeer, topic: string): Promise<readonly Holding[]> {
  try {
    const { replicas } = await peer.client.status(topic)
    const own = replicas.find(({ peer: id }) => id === peer.peerId)
    return own?.role === 'home' ? [{ peer: peer.name, topic, feeds: own.feeds }] : []
  } catch (error) {
    // Who does not know it may have it at home and lack all of it.
    if (error instanceof MeshError && error.code === 'TOPIC_NOT_FOUND') return [{ peer: peer.name, topic, feeds: [] }]
    throw error
  }
}
