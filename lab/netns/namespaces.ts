import { execFile } from 'node:child_process'
import { readlinkSync } from 'node:fs'
import { promisify } from 'node:util'

/** Whether `main.ts` has put us into a network of our own, where interfaces may be made and packets dropped. */
export const isApart =
  process.env['GRAPEVINE_NETNS_OUTSIDE'] !== undefined &&
  process.env['GRAPEVINE_NETNS_OUTSIDE'] !== readlinkSync('/proc/self/ns/net')

const execute = promisify(execFile)
const run = async (line: string): Promise<string> => {
  const [program = '', ...args] = line.split(' ')
  return (await execute(program, args)).stdout
}

/**
 * Machines, as far as the network goes: a namespace per name, joined by a bridge. The test itself is at the bridge, reaches
 * all of them, and is reached, whatever is cut between them.
 */
export class Namespaces implements AsyncDisposable {
  readonly #names: readonly string[]

  private constructor(names: readonly string[]) {
    this.#names = names
  }

  /** Names are at most 15 characters long, since the interfaces at the bridge are called so. */
  static async create(names: readonly string[]): Promise<Namespaces> {
    const namespaces = new Namespaces(names)
    await run('ip link set lo up')
    await run('ip link add bridge type bridge')
    await run('ip address add 10.77.0.254/24 dev bridge')
    await run('ip link set bridge up')
    for (const name of names) await namespaces.#add(name)
    return namespaces
  }

  addressOf(name: string): string {
    return `10.77.0.${this.#names.indexOf(name) + 1}`
  }

  /** What to put before a command so that it runs there. */
  enter(name: string): readonly string[] {
    return ['ip', 'netns', 'exec', name]
  }

  /** Nothing of both sides reaches the other one any more. */
  async cut(some: readonly string[], others: readonly string[]): Promise<void> {
    await Promise.all([this.deafen(some, others), this.deafen(others, some)])
  }

  /**
   * These hear nothing of those any more; the other way round packets get through. Dropped where they arrive, so that the
   * sender, its kernel included, is not told.
   */
  async deafen(these: readonly string[], those: readonly string[]): Promise<void> {
    await Promise.all(these.map((name) => this.#filter(name, `--append INPUT ${this.#from(those)} --jump DROP`)))
  }

  /** Takes back one `deafen` of the same peers, or one half of a `cut`; others that deafen some of them remain. */
  async hear(these: readonly string[], those: readonly string[]): Promise<void> {
    await Promise.all(these.map((name) => this.#filter(name, `--delete INPUT ${this.#from(those)} --jump DROP`)))
  }

  async heal(): Promise<void> {
    await Promise.all(this.#names.map((name) => this.#filter(name, '--flush INPUT')))
  }

  /** How many connections have been asked for there by somebody who does not hear the answer. */
  async halfOpen(name: string): Promise<number> {
    const sockets = await run(`${this.enter(name).join(' ')} cat /proc/net/tcp`)
    const synReceived = '03'
    return sockets.split('\n').filter((line) => line.trim().split(/\s+/)[3] === synReceived).length
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of this.#names) {
      // The kernel deletes a namespace and what is in it later; the next mesh needs the name now.
      await run(`ip link delete ${name}`)
      await run(`ip netns delete ${name}`)
    }
    await run('ip link delete bridge')
  }

  async #add(name: string): Promise<void> {
    await run(`ip netns add ${name}`)
    await run(`ip link add ${name} type veth peer name eth0 netns ${name}`)
    await run(`ip link set ${name} master bridge up`)
    await run(`ip -netns ${name} address add ${this.addressOf(name)}/24 dev eth0`)
    await run(`ip -netns ${name} link set eth0 up`)
    await run(`ip -netns ${name} link set lo up`)
  }

  #from(names: readonly string[]): string {
    return `--source ${names.map((name) => this.addressOf(name)).join(',')}`
  }

  async #filter(name: string, rule: string): Promise<void> {
    await run(`${this.enter(name).join(' ')} iptables --wait ${rule}`)
  }
}
