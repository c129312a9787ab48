import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pause } from '#client/backoff'
import type { Ledger } from '#lab/ledger/ledger'
import { eventually, type PeerOptions, ProcessPeer, sees } from '../integration/process-peer.ts'
import { Namespaces } from '#lab/netns/namespaces'

/** A place for a peer: a network namespace and a disk. After a wipe another peer lives there, `oak2` on the machine `oak`. */
export interface Machine {
  readonly name: string
  /** The peer whose disk is there now. */
  readonly peerName: string
  /** Undefined while it is down. */
  readonly peer: ProcessPeer | undefined
  readonly isPaused: boolean
}

export interface MachinesConfig {
  readonly directory: string
  readonly names: readonly string[]
  readonly flags: readonly string[]
  /** A peer ended that was not told to, with its last words. It is started again. */
  readonly onEnd: (what: string) => void
  /** It ends again and again: it stays down. */
  readonly onCrashLoop: (what: string) => void
}

/** How often a peer that ends by itself is started again, until it is told to end. */
const startsMax = 5
const startAgainMs = 500

type MachineState = { -readonly [Key in keyof Machine]: Machine[Key] } & {
  /** Of the peer that lives there, rising with each wipe. */
  generation: number
  /** How often it has ended by itself since it was last told to. */
  ends: number
  isWanted: boolean
  /** What is done to it last. */
  turn: Promise<void>
}

/** Machines with a peer each, a supervisor that restarts what ends by itself, and faults to be done to them. */
export class Machines implements AsyncDisposable {
  readonly network: Namespaces
  readonly #config: MachinesConfig
  readonly #ledger: Ledger
  readonly #machines = new Map<string, MachineState>()

  private constructor(config: MachinesConfig, ledger: Ledger, network: Namespaces) {
    this.#config = config
    this.#ledger = ledger
    this.network = network
    for (const name of config.names) {
      this.#machines.set(name, {
        name,
        peerName: name,
        peer: undefined,
        isPaused: false,
        generation: 1,
        ends: 0,
        isWanted: false,
        turn: Promise.resolve(),
      })
    }
  }

  /** Resolves when all see all alive. */
  static async start(config: MachinesConfig, ledger: Ledger): Promise<Machines> {
    const machines = new Machines(config, ledger, await Namespaces.create(config.names))
    const [first = '', ...others] = config.names
    await machines.up(first)
    await Promise.all(others.map((name) => machines.up(name)))
    await eventually('all see all alive', async () => {
      const seen = machines.running.map((peer) => sees(peer, config.names, 'alive'))
      return (await Promise.all(seen)).every(Boolean)
    })
    return machines
  }

  get all(): readonly Machine[] {
    return [...this.#machines.values()]
  }

  /** Peers whose processes run, those that are stopped by SIGSTOP included. */
  get running(): readonly ProcessPeer[] {
    return this.all.flatMap(({ peer }) => peer ?? [])
  }

  at(name: string): Machine {
    return this.#at(name)
  }

  /** Starts the peer of this machine on what its disk has, again and again if it ends by itself. */
  async up(name: string): Promise<void> {
    const machine = this.#at(name)
    machine.isWanted = true
    await this.#inTurn(machine, () => this.#keepUp(machine))
  }

  /** Ends the process and waits for its end. */
  async down(name: string, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const machine = this.#at(name)
    machine.isWanted = false
    await this.#inTurn(machine, async () => {
      const { peer } = machine
      machine.ends = 0
      machine.peer = undefined
      if (peer === undefined) return
      peer.client.close()
      await peer.end(signal)
      await this.#keepLog(peer)
    })
  }

  /** While it is down: what was on its disk is gone, and so is the peer whose identity was there. */
  async wipe(name: string): Promise<void> {
    const machine = this.#at(name)
    this.#ledger.diskFailed(machine.peerName)
    await rm(this.dataOf(name), { recursive: true, force: true })
    machine.generation++
    machine.peerName = `${name}${machine.generation}`
  }

  stop(name: string): void {
    const machine = this.#at(name)
    machine.isPaused = true
    machine.peer?.signal('SIGSTOP')
  }

  go(name: string): void {
    const machine = this.#at(name)
    machine.isPaused = false
    machine.peer?.signal('SIGCONT')
  }

  dataOf(name: string): string {
    return join(this.#config.directory, this.#at(name).peerName)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.all.map(({ name }) => this.down(name, 'SIGKILL')))
    await this.network[Symbol.asyncDispose]()
  }

  #at(name: string): MachineState {
    const machine = this.#machines.get(name)
    if (machine === undefined) throw new Error(`no machine ${name}`)
    return machine
  }

  /** One thing at a time is done to a machine. */
  #inTurn(machine: MachineState, what: () => Promise<void>): Promise<void> {
    const turn = machine.turn.then(what)
    machine.turn = turn.catch(() => undefined)
    return turn
  }

  async #keepUp(machine: MachineState): Promise<void> {
    while (machine.isWanted && machine.peer === undefined && machine.ends < startsMax) {
      try {
        await this.#start(machine)
      } catch (error) {
        await this.#endedByItself(machine, String(error))
      }
    }
  }

  async #start(machine: MachineState): Promise<void> {
    const { name, peerName } = machine
    const address = this.network.addressOf(name)
    const others = this.#config.names.filter((other) => other !== name)
    const options: PeerOptions = {
      name: peerName,
      data: this.dataOf(name),
      join: others.map((other) => `${this.network.addressOf(other)}:7400`),
      within: this.network.enter(name),
      listen: `${address}:7400`,
      http: `${address}:8400`,
      flags: this.#config.flags,
    }
    const peer = await ProcessPeer.start(options)
    machine.peer = peer
    machine.isPaused = false
    void peer.ended.then((how) => this.#onEnd(machine, peer, how))
  }

  async #onEnd(machine: MachineState, peer: ProcessPeer, how: number | string | null): Promise<void> {
    if (machine.peer !== peer) return
    machine.peer = undefined
    peer.client.close()
    await this.#keepLog(peer)
    await this.#endedByItself(machine, `ended with ${String(how)}:\n${peer.log.split('\n').slice(-5).join('\n')}`)
    await this.#inTurn(machine, () => this.#keepUp(machine))
  }

  async #endedByItself(machine: MachineState, how: string): Promise<void> {
    machine.ends++
    this.#config.onEnd(`${machine.peerName}, ${machine.ends}: ${how}`)
    if (machine.ends === startsMax)
      this.#config.onCrashLoop(`${machine.peerName} has ended ${startsMax} times by itself`)
    await pause(startAgainMs, AbortSignal.timeout(2 * startAgainMs))
  }

  async #keepLog(peer: ProcessPeer): Promise<void> {
    const directory = join(this.#config.directory, 'logs')
    await mkdir(directory, { recursive: true })
    await writeFile(join(directory, `${peer.name}.log`), `${peer.log}\n`, { flag: 'a' })
  }
}
