import type { Machine, Millis } from '#protocol/machine'

/** Puts `wrong` between a machine and whoever runs it: it may change inputs and effects, or make some up. */
export function around<Input, Effect>(
  machine: Machine<Input, Effect>,
  wrong: (input: Input, handle: (input: Input) => readonly Effect[], nowMs: Millis) => readonly Effect[],
): void {
  const handle = machine.handle.bind(machine)
  machine.handle = (input, nowMs) => wrong(input, (given) => handle(given, nowMs), nowMs)
}
