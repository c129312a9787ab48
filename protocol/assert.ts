/** Assertions are for our own mistakes: a failing one is a bug, and the peer stops rather than go on wrongly. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`)
}

/** Closes a switch over a union: the compiler complains here when a case is missing. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${JSON.stringify(value)}`)
}
