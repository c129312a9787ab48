import { assert } from '#protocol/assert'
import { outputOf } from './programs.ts'
import { type Way, Ways } from './ways.ts'

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
  readonly ways = new Ways({ tell: (at, ways) => this.#apply(at, ways) })

  /** From now on there is this machine. What it was to lose before is lost from now on. */
  async add(name: string, machine: Machine): Promise<void> {
    this.#machines.set(name, machine)
    await this.ways.came(name)
  }

  /** All rules of a machine at once: `iptables-restore` replaces a chain in one step. */
  async #apply(name: string, ways: ReadonlyMap<string, Way>): Promise<void> {
    const machine = this.#machines.get(name)
    if (machine === undefined) return
    const rules = [...ways].flatMap(([from, { loss, delayMs }]) => {
      assert(delayMs === 0, 'a packet filter is asked for no delay (checkPlayable)')
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
