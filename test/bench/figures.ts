/** The value below which a share of the numbers lies (nearest rank). */
export function quantile(numbers: readonly number[], share: number): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
}

export interface Figure {
  readonly what: string
  readonly value: string
  /** What it is to be read against, measured in the same run. */
  readonly against?: string
}

/** A Markdown table, to be pasted as it is. */
export function tableOf(figures: readonly Figure[]): string {
  const rows = figures.map(({ what, value, against = '' }) => `| ${what} | ${value} | ${against} |`)
  return ['| what | figure | against |', '|---|---|---|', ...rows].join('\n')
}

export const perSecond = (count: number, ms: number): string =>
  `${Math.round((count / ms) * 1000).toLocaleString('en')}/s`
export const millis = (ms: number): string => `${ms.toFixed(2)} ms`
export const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`
export const megabytes = (bytes: number): string => `${Math.round(bytes / 2 ** 20).toLocaleString('en')} MB`
export const megabytesPerSecond = (bytes: number, ms: number): string => `${(bytes / 1e3 / ms).toFixed(1)} MB/s`
export const percent = (share: number): string => `${Math.round(share * 100)} %`
