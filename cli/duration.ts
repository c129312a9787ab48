import { InvalidArgumentError } from 'commander'

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Milliseconds of `300ms`, `2s`, `1m`, `1h` or `7d`. Throws commander's InvalidArgumentError. */
export function durationMsOf(text: string): number {
  const [, digits, unit = ''] = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text) ?? []
  const ms = unitMs[unit]
  if (digits === undefined || ms === undefined)
    throw new InvalidArgumentError('It must be a duration such as 300ms or 2s.')
  return Number(digits) * ms
}
