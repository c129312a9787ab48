import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'
import { styleText } from 'node:util'

export type OutputStream = Writable & { readonly isTTY?: boolean; readonly columns?: number }

/** Where a command talks and listens: the process's own streams, or those of a test. */
export interface Terminal {
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly stdout: OutputStream
  readonly stderr: OutputStream
  readonly env: Readonly<Record<string, string | undefined>>
  /** Somebody wants this to end: Ctrl-C, SIGTERM, a closed terminal or a parent that is gone. */
  readonly stop: AbortSignal
  /** Somebody wants it to end now. */
  readonly force: AbortSignal
}

export type Style = Parameters<typeof styleText>[0]

/** Colors only where a person looks, and not if NO_COLOR is set. */
export const styled = (stream: OutputStream, style: Style, text: string): string => styleText(style, text, { stream })

/** Data. Waits while the reader of the pipe is slower than we are. */
export async function write(terminal: Terminal, text: string | Uint8Array): Promise<void> {
  if (!terminal.stdout.write(text)) await once(terminal.stdout, 'drain', { signal: terminal.force })
}

/** Resolves when the reader of the pipe has everything: `process.exit` drops what waits in the stream, drained or not. */
export async function allWritten(stream: OutputStream): Promise<void> {
  if (stream.writableLength === 0 || stream.destroyed) return
  await new Promise<void>((resolve) => stream.write('', () => resolve()))
}

/** Talk: progress, advice, warnings. Never data. */
export const say = (terminal: Terminal, text: string): void => void terminal.stderr.write(`${text}\n`)

export const warn = (terminal: Terminal, text: string): void =>
  say(terminal, `${styled(terminal.stderr, 'yellow', 'warning:')} ${text}`)
