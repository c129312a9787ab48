import { pause } from '#client/backoff'
import type { Machines } from './machines.ts'
import { type Fault, inWords, type MachineFault, type Planned } from './schedule.ts'

export interface FaultsConfig {
  readonly machines: Machines
  /** Damages what is on the disk of a machine that is down. */
  readonly flip: (machine: string) => Promise<void>
  readonly onFault: (inWords: string) => void
}

/** Does what is planned, when it is planned. Resolves when all of it is over and undone. */
export async function suffer(planned: readonly Planned[], config: FaultsConfig): Promise<void> {
  const startMs = performance.now()
  const failure = new AbortController()
  const { signal } = failure
  const all = planned.map(async ({ atMs, fault }) => {
    await pause(Math.max(0, startMs + atMs - performance.now()), signal)
    config.onFault(inWords(fault))
    await sufferOne(fault, config, signal)
  })
  for (const one of all) one.catch((error: unknown) => failure.abort(error))
  await Promise.all(all)
}

async function sufferOne(fault: Fault, config: FaultsConfig, signal: AbortSignal): Promise<void> {
  const { network } = config.machines
  const { type, forMs } = fault
  switch (type) {
    case 'cut':
    case 'bridge':
      await network.cut(fault.some, fault.others)
      await pause(forMs, signal)
      await network.hear(fault.some, fault.others)
      await network.hear(fault.others, fault.some)
      return
    case 'deafen':
      await network.deafen(fault.some, fault.others)
      await pause(forMs, signal)
      await network.hear(fault.some, fault.others)
      return
    case 'pause':
      config.machines.stop(fault.machine)
      await pause(forMs, signal)
      config.machines.go(fault.machine)
      return
    case 'kill':
    case 'restart':
    case 'wipe':
    case 'flip':
      await config.machines.down(fault.machine, type === 'restart' ? 'SIGTERM' : 'SIGKILL')
      await damage(type, fault.machine, config)
      await pause(forMs, signal)
      await config.machines.up(fault.machine)
  }
}

async function damage(type: MachineFault, machine: string, { machines, flip }: FaultsConfig): Promise<void> {
  if (type === 'wipe') await machines.wipe(machine)
  if (type === 'flip') await flip(machine)
}
