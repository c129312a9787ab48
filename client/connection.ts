import type { MeshError } from '#protocol/errors'
import type { SocketLimits } from '#protocol/wire/socket-frames'
import { fullJitterMs, pause, type Backoff } from './backoff.ts'
import { Latest } from './latest.ts'
import { FrameSocket, type Frame, type FrameSocketConfig, type SocketEnd } from './frame-socket.ts'
import { type Servers, togetherOf } from './servers.ts'

/** Who talks over the connection: a subscription, or all publishes together. */
export interface Participant {
  /** A socket is open: say what is to be said on it. */
  opened(socket: FrameSocket, limits: SocketLimits): void
  /** True if the frame was for it. */
  frame(frame: Frame, length: number): boolean
  /** The socket has ended or could not be opened. `allFailed`: no server could be reached. Another try follows. */
  interrupted(error: MeshError, next: { readonly retryInMs: number; readonly allFailed: boolean }): void
  /** Ended for a reason that another try would meet again. */
  failed(error: Error): void
}

/** Where the one WebSocket of a mesh is. */
export type ConnectionStatus =
  /** Nobody subscribes and nothing is being published. */
  | { readonly state: 'idle' }
  | { readonly state: 'connecting'; readonly server: string }
  | { readonly state: 'connected'; readonly server: string; readonly peer: string }
  /** No server could be reached, or the last one asked us to go; the next try follows after `retryInMs`. */
  | { readonly state: 'disconnected'; readonly error: MeshError; readonly retryInMs: number }

export interface ConnectionConfig extends FrameSocketConfig {
  readonly servers: Servers
  readonly backoff: Backoff
  readonly random: () => number
  /** Whether servers that peers tell of are used, too. */
  readonly learnServers: boolean
}

/**
 * One WebSocket for all that a mesh subscribes to and publishes, opened when it is first needed. When it breaks the next
 * server is tried at once; when all have failed in a row, after back-off with full jitter, for ever, as long as somebody
 * needs it.
 */
export class Connection {
  readonly #config: ConnectionConfig
  readonly #participants = new Set<Participant>()
  #open: { readonly socket: FrameSocket; readonly limits: SocketLimits } | undefined
  #isRunning = false
  #hurry = new AbortController()
  /** The peer has asked us to go, within this time. */
  #byeMs = 0
  readonly status = new Latest<ConnectionStatus>({ state: 'idle' })

  constructor(config: ConnectionConfig) {
    this.#config = config
  }

  /** Returns what ends it. It is told of the connection before this returns, if there is one. */
  join(participant: Participant): () => void {
    this.#participants.add(participant)
    if (this.#open !== undefined) participant.opened(this.#open.socket, this.#open.limits)
    else if (!this.#isRunning) void this.#run()
    // Somebody asks now: a back-off ends.
    else this.#hurry.abort()
    return () => void this.#participants.delete(participant)
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    const { signal, servers, backoff, random } = this.#config
    let rounds = 0
    let failures: MeshError[] = []
    while (this.#participants.size > 0 && !signal.aborted) {
      const end = await this.#serve()
      if (signal.aborted) break
      if (!end.mayComeBack) {
        for (const participant of this.#participants) participant.failed(end.error)
        break
      }
      servers.moveOn()
      if (end.wasUsed) rounds = 0
      failures = end.wasUsed ? [] : [...failures, end.error]
      const allFailed = failures.length >= servers.count
      const retryInMs = allFailed ? fullJitterMs(backoff, rounds, random) : Math.floor(random() * this.#byeMs)
      const error = allFailed ? togetherOf(failures) : end.error
      for (const participant of this.#participants) participant.interrupted(error, { retryInMs, allFailed })
      if (allFailed) {
        rounds++
        failures = []
      }
      if (retryInMs > 0) {
        this.status.set({ state: 'disconnected', error, retryInMs })
        await this.#rest(retryInMs)
      }
    }
    this.#isRunning = false
    this.status.set({ state: 'idle' })
  }

  /** Opens a socket to the current server, and resolves when it has ended. */
  async #serve(): Promise<SocketEnd> {
    const { servers } = this.#config
    this.#byeMs = 0
    this.status.set({ state: 'connecting', server: servers.current })
    try {
      const { socket, welcome } = await FrameSocket.open(servers.current, this.#config, (frame, length) =>
        this.#hear(frame, length),
      )
      servers.worked()
      this.#open = { socket, limits: welcome.limits }
      this.status.set({ state: 'connected', server: socket.server, peer: welcome.peer })
      for (const participant of this.#participants) participant.opened(socket, welcome.limits)
      const end = await socket.ended
      this.#open = undefined
      return end
    } catch (cause) {
      const error = await servers.whyNoSocket(this.#config.signal).catch(() => cause as MeshError)
      // Whoever is not let in is not let in the next time either.
      return { error, mayComeBack: error.retryable || (error.status !== 401 && error.status !== 403), wasUsed: false }
    }
  }

  #hear(frame: Frame, length: number): void {
    if ((frame.type === 'welcome' || frame.type === 'bye') && this.#config.learnServers) {
      this.#config.servers.learn(frame.servers)
    }
    // What was said on it is answered, but it takes nothing new.
    if (frame.type === 'bye') {
      this.#open = undefined
      // Many are told at once: they spread over the time that the peer says, so that the others are not met by all of them.
      this.#byeMs = Math.min(frame.retryMs, byeMsMax)
    }
    for (const participant of this.#participants) if (participant.frame(frame, length)) return
  }

  async #rest(ms: number): Promise<void> {
    this.#hurry = new AbortController()
    await pause(ms, AbortSignal.any([this.#hurry.signal, this.#config.signal])).catch(() => undefined)
  }
}

const byeMsMax = 5_000
