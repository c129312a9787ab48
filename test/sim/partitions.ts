import type { PeerId } from '#protocol/ids'
import type { Dice } from './dice.ts'
import type { SimNetwork } from './network.ts'
import type { Scheduler } from './scheduler.ts'
import type { PartitionFault } from './swarm.ts'
import type { Trace } from './trace.ts'

export interface PartitionDeps {
  readonly scheduler: Scheduler
  readonly network: SimNetwork
  readonly trace: Trace
  readonly peers: readonly PeerId[]
  /** Some hear each other again, for a moment maybe. */
  readonly onHealed: () => void
}

/** Two groups that do not hear each other; whoever is in neither hears both. */
interface Split {
  readonly sides: readonly [ReadonlySet<PeerId>, ReadonlySet<PeerId>]
  /** The path from one peer to the other is cut, not always the way back. */
  readonly paths: readonly (readonly [from: PeerId, to: PeerId])[]
}

/** Who cannot hear whom, for a while: two sides, one peer alone, one way only, with a bridge between them, or flapping. */
export class Partitions {
  readonly #deps: PartitionDeps
  readonly #open = new Map<string, Split>()
  #count = 0

  constructor(deps: PartitionDeps) {
    this.#deps = deps
  }

  /** Returns the sides. */
  strike(dice: Dice, { forMsMax, oneWay, bridges, flapping }: PartitionFault): Split['sides'] {
    const { scheduler } = this.#deps
    const split = this.#drawn(dice, { oneWay, bridges })
    const name = `partition ${++this.#count}`
    this.#open.set(name, split)
    this.#cut(name, split)
    if (dice.chance(flapping)) this.#flap(name, dice)
    scheduler.after(dice.between(200, forMsMax), () => this.#close(name))
    return split.sides
  }

  healAll(): void {
    for (const name of this.#open.keys()) this.#close(name)
  }

  #drawn(dice: Dice, { oneWay, bridges }: Pick<PartitionFault, 'oneWay' | 'bridges'>): Split {
    const { peers } = this.#deps
    const bridge = dice.chance(bridges) ? dice.pick(peers) : undefined
    const lonely = dice.chance(0.3) ? dice.pick(peers) : undefined
    const side = new Set(
      peers.filter((peer) => peer !== bridge && (lonely === undefined ? dice.chance(0.5) : peer === lonely)),
    )
    const other = new Set(peers.filter((peer) => peer !== bridge && !side.has(peer)))
    const isOneWay = dice.chance(oneWay)
    const isOut = dice.chance(0.5)
    const out = pairsOf(side, other)
    const back = pairsOf(other, side)
    return { sides: [side, other], paths: isOneWay ? (isOut ? out : back) : [...out, ...back] }
  }

  #cut(name: string, { sides, paths }: Split): void {
    const [side, other] = sides.map((peers) => [...peers].join(' ') || 'nobody')
    this.#deps.trace.line('*', 'cut', `${name}: ${side} from ${other}, ${paths.length} paths`)
    for (const [from, to] of paths) this.#deps.network.path(from, to).cut(name)
  }

  #heal(name: string, { paths }: Split): void {
    this.#deps.trace.line('*', 'heal', name)
    for (const [from, to] of paths) this.#deps.network.path(from, to).heal(name)
    this.#deps.onHealed()
  }

  /** There and gone, for moments each, until it is closed. */
  #flap(name: string, dice: Dice): void {
    let isCut = true
    const turn = (): void => {
      const split = this.#open.get(name)
      if (split === undefined) return
      if (isCut) this.#heal(name, split)
      else this.#cut(name, split)
      isCut = !isCut
      this.#deps.scheduler.after(dice.magnitude(50, 5_000), turn)
    }
    this.#deps.scheduler.after(dice.magnitude(50, 5_000), turn)
  }

  #close(name: string): void {
    const split = this.#open.get(name)
    if (split === undefined) return
    this.#open.delete(name)
    this.#heal(name, split)
  }
}

const pairsOf = (froms: ReadonlySet<PeerId>, tos: ReadonlySet<PeerId>): (readonly [PeerId, PeerId])[] =>
  [...froms].flatMap((from) => [...tos].map((to) => [from, to] as const))
