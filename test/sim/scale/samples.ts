/** `share` of the values are at most this: 0.5 is the median. NaN of none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN
}

export const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0)
