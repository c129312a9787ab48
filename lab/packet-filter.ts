import { assert } from '#protocol/assert'
import type { Way } from './back-end.ts'
import { outputOf } from './programs.ts'

/** How a command runs in the network of a machine, and the address that it has there. */
export interface Machine {
  readonly enter: readonly string[]
  readonly address: string
}

/**
 * iptables where packets arrive, so that the sender, its kernel included, is not told. Who sends need not be there yet, as long
 * as its address is known. It goes into a chain of its own, and leaves what others have there.
 */
export class PacketFilter {
  readonly #machines = new Map<string, Machine>()
  readonly #ways = new Map<string, Map<string, number>>()

  /** From now on there is this machine. What it was to lose before is lost from now on. */
  async add(name: string, machine: Machine): Promise<void> {
    this.#machines.set(name, machine)
    const concerned = [...this.#ways].filter(([at, losses]) => at === name || losses.has(name)).map(([at]) => at)
    await this.#applyAll(concerned)
  }

  async cut(from: readonly string[], to: readonly string[]): Promise<void> {
    for (const at of to) for (const of of from) this.#lossesAt(at).set(of, 1)
    await this.#applyAll(to)
  }

  async link(from: string, to: string, { loss, delayMs }: Way): Promise<void> {
    assert(delayMs === 0, 'a packet filter is asked for no delay (checkPlayable)')
    this.#lossesAt(to).set(from, loss)
    await this.#applyAll([to])
  }

  async heal(): Promise<void> {
    const concerned = [...this.#ways.keys()]
    this.#ways.clear()
    await this.#applyAll(concerned)
  }

  #lossesAt(name: string): Map<string, number> {
    const losses = this.#ways.get(name) ?? new Map<string, number>()
    this.#ways.set(name, losses)
    return losses
  }

  async #applyAll(names: readonly string[]): Promise<void> {
    await Promise.all(names.map((name) => this.#apply(name)))
  }

  /** All rules of a machine at once: `iptables-restore` replaces a chain in one step. */
  async #apply(name: string): Promise<void> {
    const machine = this.#machines.get(name)
    if (machine === undefined) return
    const rules = [...(this.#ways.get(name) ?? [])].flatMap(([from, loss]) => {
      const address = this.#machines.get(from)?.address
      return address === undefined || loss === 0 ? [] : [`-A GRAPEVINE --source ${address} ${ruleOf(loss)}--jump DROP`]
    })
    const jump = [...machine.enter, 'iptables', '--wait']
    const input = ['*filter', ':GRAPEVINE - [0:0]', ...rules, 'COMMIT', ''].join('\n')
    await outputOf([...machine.enter, 'iptables-restore', '--wait', '--noflush'], { input })
    const isThere = await outputOf([...jump, '--check', 'INPUT', '--jump', 'GRAPEVINE']).then(
      () => true,
      () => false,
    )
    if (!isThere) await outputOf([...jump, '--insert', 'INPUT', '--jump', 'GRAPEVINE'])
  }
}

const ruleOf = (loss: number): string => (loss === 1 ? '' : `--match statistic --mode random --probability ${loss} `)
