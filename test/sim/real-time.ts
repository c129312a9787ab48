/**
 * In a simulated world nothing may look at a real clock, roll real dice or wait for real time: two runs of one seed
 * would differ. Between `forbidRealTime()` and the call of what it returns, these throw.
 */
export function forbidRealTime(): () => void {
  const forbidden = [
    [Date, 'now'],
    [Math, 'random'],
    [performance, 'now'],
    [crypto, 'getRandomValues'],
    [crypto, 'randomUUID'],
    [globalThis, 'setTimeout'],
    [globalThis, 'setInterval'],
    [globalThis, 'setImmediate'],
  ] as const
  const undo = forbidden.map(([owner, name]) => {
    const original: unknown = Reflect.get(owner, name)
    Reflect.set(owner, name, () => {
      throw new Error(`${name}() in a simulated run: use the clock and the dice of the simulator`)
    })
    return () => Reflect.set(owner, name, original)
  })
  return () => {
    for (const restore of undo) restore()
  }
}
