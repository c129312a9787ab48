import { ProcessPeer, eventually, sees } from './process-peer.ts'

/** Many peers as processes of this machine, all behind one address. */
export interface Crowd {
  readonly peers: readonly ProcessPeer[]
  /** From the first start to when the last process answered. */
  readonly startedMs: number
  /** From the first start to when every peer believed every other to be alive. */
  readonly fullViewMs: number
}

/** The first begins alone, and all others join by it at once. Each is ended with `things`. */
export async function startCrowd(
  count: number,
  parts: { readonly directory: string; readonly flags: readonly string[]; readonly things: AsyncDisposableStack },
): Promise<Crowd> {
  const { directory, flags, things } = parts
  const names = Array.from({ length: count }, (_, index) => `oak${index}`)
  const startMs = performance.now()
  const start = async (name: string, join: readonly string[]): Promise<ProcessPeer> =>
    things.use(await ProcessPeer.start({ name, data: `${directory}/${name}`, join, flags }))
  const first = await start(names[0] as string, [])
  const others = await Promise.all(names.slice(1).map((name) => start(name, [first.listen])))
  const peers = [first, ...others]
  const startedMs = performance.now() - startMs
  for (const peer of peers) {
    await eventually(`${peer.name} sees all alive`, () => sees(peer, names, 'alive'), 240_000)
  }
  return { peers, startedMs, fullViewMs: performance.now() - startMs }
}

export interface CrowdLinks {
  readonly up: number
  readonly opened: number
  readonly closed: Readonly<Record<string, number>>
}

/** What a peer's metrics say of its links. */
export async function linksOf(peer: ProcessPeer): Promise<CrowdLinks> {
  const text = await (await fetch(`${peer.http}/metrics`)).text()
  const valueOf = (series: string): number =>
    Number(
      text
        .split('\n')
        .find((line) => line.startsWith(series))
        ?.split(' ')
        .at(-1),
    )
  const name = 'grapevine_membership_links'
  const reasons = ['idle', 'silent', 'closed', 'broken']
  return {
    up: valueOf(`${name}{state="up"}`),
    opened: valueOf(`${name}_opened_total`),
    closed: Object.fromEntries(reasons.map((reason) => [reason, valueOf(`${name}_closed_total{reason="${reason}"}`)])),
  }
}
