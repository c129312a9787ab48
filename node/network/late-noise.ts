import type { noise } from '@libp2p/noise'
import type { ConnectionEncrypter } from '@libp2p/interface'

type Noise = ReturnType<typeof noise>

/** Noise, loaded once somebody asks for it: members speak TLS with each other, and start without it. */
export function lateNoise(): (components: Parameters<Noise>[0]) => ConnectionEncrypter {
  return (components) => {
    let loading: Promise<ConnectionEncrypter> | undefined
    const loaded = (): Promise<ConnectionEncrypter> =>
      (loading ??= import('@libp2p/noise').then((module) => module.noise()(components)))
    return {
      protocol: '/noise',
      secureInbound: async (...args) => (await loaded()).secureInbound(...args),
      secureOutbound: async (...args) => (await loaded()).secureOutbound(...args),
    }
  }
}
