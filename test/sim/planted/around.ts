import type { ReadSource } from '#node/read-source'
import type { Machine, Millis } from '#protocol/machine'

/** Puts `wrong` between a machine and whoever runs it: it may change inputs and effects, or make some up. */
export function around<Input, Effect>(
  machine: Machine<Input, Effect>,
  wrong: (input: Input, handle: (input: Input) => readonly Effect[], nowMs: Millis) => readonly Effect[],
): void {
  const handle = machine.handle.bind(machine)
  machine.handle = (input, nowMs) => wrong(input, (given) => handle(given, nowMs), nowMs)
}

/** What readers read from, made wrong in a part. */
export const sourceWith = (source: ReadSource, wrong: Partial<ReadSource>): ReadSource => ({
  feeds: (topicId) => source.feeds(topicId),
  read: (...wanted) => source.read(...wanted),
  standing: (topicId) => source.standing(topicId),
  producers: (...wanted) => source.producers(...wanted),
  onAdvance: (...wanted) => source.onAdvance(...wanted),
  advances: (topicId) => source.advances(topicId),
  ...wrong,
})
