import type { Duplex } from 'node:stream'
import { tls } from '@libp2p/tls'
import { networkLimits } from './network-limits.ts'

type Tls = ReturnType<ReturnType<typeof tls>>

/**
 * TLS as libp2p has it, with room for more plaintext: its socket takes 64 KiB, and then nothing until that is encrypted,
 * passed on and told to be, some turns of the event loop later. With a thousand topics written at once the digests of a
 * link filled that alone, and the copies on other peers came to a halt.
 */
export function roomyTls(): (components: Parameters<ReturnType<typeof tls>>[0]) => Tls {
  return (components) => {
    const encrypter = tls()(components)
    const secureInbound = encrypter.secureInbound.bind(encrypter)
    const secureOutbound = encrypter.secureOutbound.bind(encrypter)
    encrypter.secureInbound = async (...args) => widened(await secureInbound(...args))
    encrypter.secureOutbound = async (...args) => widened(await secureOutbound(...args))
    return encrypter
  }
}

// Neither Node nor libp2p takes it as an option for a socket like this one.
function widened<T extends Awaited<ReturnType<Tls['secureInbound']>>>(secured: T): T {
  const { socket } = secured.connection as { socket?: Duplex & { _writableState: { highWaterMark: number } } }
  if (socket !== undefined) socket._writableState.highWaterMark = networkLimits.plaintextBytesTarget
  return secured
}
