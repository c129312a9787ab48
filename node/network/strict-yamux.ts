import { yamux } from '@libp2p/yamux'
import { networkLimits } from './network-limits.ts'

type Init = NonNullable<Parameters<typeof yamux>[0]>
type Factory = ReturnType<ReturnType<typeof yamux>>
type Muxer = ReturnType<Factory['createStreamMuxer']>

/**
 * yamux as libp2p has it, but for streams beyond the bound: it resets each of them without a word, for as long as they come. No peer needs
 * so many, so here whoever opens one more loses the connection, and its link is told to be down for that.
 */
export function strictYamux(init: Init): () => Factory {
  return () => {
    const factory = yamux({ ...init, maxInboundStreams: networkLimits.streamsPerConnectionMax })()
    const createStreamMuxer = factory.createStreamMuxer.bind(factory)
    factory.createStreamMuxer = (connection) => strict(createStreamMuxer(connection))
    return factory
  }
}

// What is thrown while it handles a frame aborts the connection.
function strict(muxer: Muxer): Muxer {
  const inner = muxer as unknown as { numInboundStreams: number; incomingStream(id: number): void }
  const incomingStream = inner.incomingStream.bind(muxer)
  inner.incomingStream = (id) => {
    const { streamsPerConnectionMax } = networkLimits
    if (inner.numInboundStreams >= streamsPerConnectionMax)
      throw new Error(`it opened more than ${streamsPerConnectionMax} streams at once`)
    incomingStream(id)
  }
  return muxer
}
