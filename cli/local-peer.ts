import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, createReadStream, fstatSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { MeshError } from '#protocol/errors'

export interface LocalPeerConfig {
  readonly name: string
  readonly data: string
  readonly listen: string
  readonly http: string
  /** `host:port`, several with commas. */
  readonly join?: string
  /** Program and first arguments that run `grapevine peer`. */
  readonly command: readonly string[]
  /** More flags of it. */
  readonly flags?: readonly string[]
}

export const ownCommand = (): string[] => [process.execPath, fileURLToPath(new URL('./grapevine.js', import.meta.url))]

/** The line that `grapevine peer` prints on a stdout that is no terminal (DESIGN §13). */
export interface StartedEvent {
  readonly event: 'started'
  readonly name: string
  readonly peerId: string
  readonly listen: readonly string[]
  readonly http: string
}

/** How much of its log is searched for the reason why a peer ended. */
const logReadMax = 4 * 1024 * 1024

/** One peer in a process of its own, with its log in its data directory. */
export class LocalPeer {
  readonly name: string
  readonly logPath: string
  readonly started: Promise<StartedEvent>
  /** Resolves when the process has ended. */
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>
  readonly #child: ChildProcess
  /** Where this run began in the log. */
  readonly #logStart: number

  constructor(config: LocalPeerConfig) {
    this.name = config.name
    this.logPath = join(config.data, 'peer.log')
    mkdirSync(config.data, { recursive: true })
    const log = openSync(this.logPath, 'a')
    this.#logStart = fstatSync(log).size
    const [program = '', ...first] = config.command
    this.#child = spawn(program, [...first, ...peerFlags(config)], {
      stdio: ['ignore', 'pipe', log, 'ipc'],
      // Its own process group: Ctrl-C at the terminal is for us, and we tell it. If we are killed, the channel closes.
      detached: true,
    })
    closeSync(log)
    this.ended = new Promise((resolve) => {
      this.#child.on('error', () => resolve({ code: 1, signal: null }))
      this.#child.on('exit', (code, signal) => resolve({ code, signal }))
    })
    this.started = this.#firstLine()
    // Whoever stops before the start is told by `ended`.
    this.started.catch(() => undefined)
  }

  stop(signal: 'SIGTERM' | 'SIGKILL'): void {
    this.#child.kill(signal)
  }

  /** Why it ended by itself: its last named error, or the exit code. */
  async failure(): Promise<MeshError> {
    const { code, signal } = await this.ended
    const log = await text(createReadStream(this.logPath, { start: this.#logStart, end: this.#logStart + logReadMax }))
    const reason =
      log.split('\n').findLast((line) => line.startsWith('GRAPEVINE_')) ??
      (signal === null ? `exit code ${code}` : `ended by ${signal}`)
    const [, holder] = /^GRAPEVINE_DATA_LOCKED: .* is used by process (\d+)/.exec(reason) ?? []
    if (holder !== undefined) {
      return new MeshError('DATA_LOCKED', `This mesh is already running: ${this.name} is process ${holder}`)
    }
    return new MeshError('PEER_EXITED', `${this.name}: ${reason} (${this.logPath})`)
  }

  async #firstLine(): Promise<StartedEvent> {
    const stdout = this.#child.stdout
    if (stdout === null) throw await this.failure()
    const lines = createInterface({ input: stdout })
    const first = new Promise<string | undefined>((resolve) => {
      lines.once('line', resolve)
      lines.once('close', () => resolve(undefined))
    })
    const line = await first
    if (line === undefined) throw await this.failure()
    return JSON.parse(line) as StartedEvent
  }
}

function peerFlags({ name, data, listen, http, join: seed, flags: more = [] }: LocalPeerConfig): string[] {
  const flags = ['--name', name, '--data', data, '--listen', listen, '--http', http, '--profile', 'local', '--lab']
  return ['peer', ...flags, ...(seed === undefined ? [] : ['--join', seed]), ...more]
}
