import { styled, write, type OutputStream, type Style, type Terminal } from './terminal.ts'

export const formats = ['table', 'json'] as const
export type Format = (typeof formats)[number]

/** People get tables, programs one JSON object per line. */
export const formatFor = (stream: OutputStream, asked: Format | undefined): Format =>
  asked ?? (stream.isTTY === true ? 'table' : 'json')

export const jsonLine = (value: unknown): string => `${JSON.stringify(value)}\n`

export interface Column<Row> {
  readonly title: string
  readonly of: (row: Row) => string | number | undefined
  readonly style?: (row: Row) => Style | undefined
}

/** Writes the rows as a table, or each as a line of JSON. */
export async function writeRows<Row>(
  terminal: Terminal,
  format: Format,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
): Promise<void> {
  const text = format === 'json' ? rows.map(jsonLine).join('') : tableText(terminal.stdout, rows, columns)
  await write(terminal, text)
}

export function tableText<Row>(stream: OutputStream, rows: readonly Row[], columns: readonly Column<Row>[]): string {
  const cells = rows.map((row) => columns.map((column) => printable(String(column.of(row) ?? ''))))
  const titles = columns.map((column) => column.title.toUpperCase())
  const widths = titles.map((title, i) => Math.max(title.length, ...cells.map((row) => row[i]?.length ?? 0)))
  const line = (texts: readonly string[], styleOf: (i: number) => Style | undefined) =>
    texts.map((text, i) => painted(stream, styleOf(i), text) + gap(widths, texts, i)).join('') + '\n'
  const header = line(titles, () => 'dim')
  const body = cells.map((row, r) => line(row, (i) => columns[i]?.style?.(rows[r] as Row)))
  return header + body.join('')
}

/** One of the tables of a view, with its title. */
export const sectionText = <Row>(
  stream: OutputStream,
  title: string,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
): string => `\n${styled(stream, 'bold', title)}\n${rows.length === 0 ? 'none\n' : tableText(stream, rows, columns)}`

/** Control characters of strangers' text must not drive the terminal. */
// eslint-disable-next-line no-control-regex
export const printable = (text: string): string => text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '\u00b7')

/** `850ms`, `3.2s`, `4m 10s`, `2h 3m`, `5d 1h` */
export function durationText(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)}ms`
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)}s`
  const minutes = Math.floor(ms / 60_000)
  if (minutes < 60) return `${minutes}m ${Math.floor(ms / 1_000) % 60}s`
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)}h ${minutes % 60}m`
  return `${Math.floor(minutes / (24 * 60))}d ${Math.floor(minutes / 60) % 24}h`
}

export const counted = (count: number, noun: string, plural = `${noun}s`): string =>
  `${count.toLocaleString('en-US')} ${count === 1 ? noun : plural}`

const painted = (stream: OutputStream, style: Style | undefined, text: string): string =>
  style === undefined ? text : styled(stream, style, text)

// Columns are two apart; the last one ends its line.
const gap = (widths: readonly number[], texts: readonly string[], i: number): string =>
  i === texts.length - 1 ? '' : ' '.repeat((widths[i] ?? 0) - (texts[i]?.length ?? 0) + 2)
