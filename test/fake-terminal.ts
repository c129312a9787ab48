import { PassThrough } from 'node:stream'
import type { Terminal } from '#cli/terminal'

/** A terminal, or the pipes instead of one, that a test can type into, read and interrupt. */
export function fakeTerminal(
  options: {
    readonly stdin?: readonly (string | Uint8Array)[]
    /** The pipe to stdin stays open after what is in it. */
    readonly stdinStaysOpen?: boolean
    readonly isTTY?: boolean
  } = {},
) {
  const stdout = new Capture(options.isTTY === true)
  const stderr = new Capture(options.isTTY === true)
  const stop = new AbortController()
  const force = new AbortController()
  const stdin = new PassThrough()
  for (const chunk of options.stdin ?? []) stdin.write(Buffer.from(chunk))
  if (options.stdinStaysOpen !== true) stdin.end()
  const terminal: Terminal = { stdin, stdout, stderr, env: {}, stop: stop.signal, force: force.signal }
  return { terminal, stdout, stderr, stop, force }
}

export class Capture extends PassThrough {
  readonly isTTY: boolean
  readonly #chunks: Buffer[] = []

  constructor(isTTY: boolean) {
    super()
    this.isTTY = isTTY
    this.on('data', (chunk: Buffer) => this.#chunks.push(chunk))
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks)
  }

  get text(): string {
    return this.bytes.toString('utf8')
  }

  /** One JSON value per line. */
  get json(): unknown[] {
    return this.text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as unknown]))
  }
}
