const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000 }

/** Milliseconds of `300ms`, `2s` or `1m`; undefined if it is no duration. */
export function durationOf(text: string): number | undefined {
  const [, digits, unit = ''] = /^(\d{1,7})(ms|s|m)$/.exec(text.trim()) ?? []
  const ms = unitMs[unit]
  return digits === undefined || ms === undefined ? undefined : Number(digits) * ms
}

/** Of `oak,elm ash`. */
export const namesOf = (text: string): string[] => text.split(/[\s,]+/).filter((name) => name !== '')

/** Of `oak,elm / ash`. */
export const sidesIn = (text: string): string[][] => text.split('/').map(namesOf)

export const secondsText = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`

/** `unexplainedDuplicates` → `unexplained duplicates` */
export const wordsOf = (name: string): string => name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
