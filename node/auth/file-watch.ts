import { readFile, stat } from 'node:fs/promises'

export interface FileWatchConfig {
  readonly path: string
  /** Longer files are not read. */
  readonly bytesMax: number
}

export interface FileWatchDeps {
  /** Its text, whenever it is another one. What it rejects with is told by `onFault`, once, and the text counts as seen. */
  readonly onText: (text: string) => Promise<void> | void
  readonly onFault: (error: unknown) => void
}

/** Higher: later. What is written there is to count within a few seconds. */
const lookEveryMs = 1_000

/**
 * Reads a file whenever it was written. It is looked at rather than listened to: notices of file systems do not come through
 * mounts of containers, nor for a file that another one was moved over.
 */
export class FileWatch {
  readonly #config: FileWatchConfig
  readonly #deps: FileWatchDeps
  #seen = ''
  #fault = ''
  #isLooking = false
  #timer: NodeJS.Timeout | undefined

  constructor(config: FileWatchConfig, deps: FileWatchDeps) {
    this.#config = config
    this.#deps = deps
  }

  /** Resolves when the file has been read for the first time. Rejects with whatever keeps it from that. */
  async start(): Promise<void> {
    await this.#look()
    this.#timer = setInterval(() => void this.#lookAgain(), lookEveryMs)
    this.#timer.unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  async #lookAgain(): Promise<void> {
    if (this.#isLooking) return
    this.#isLooking = true
    try {
      await this.#look()
      this.#fault = ''
    } catch (error) {
      // Told once, not each second.
      if (String(error) !== this.#fault) this.#deps.onFault(error)
      this.#fault = String(error)
    } finally {
      this.#isLooking = false
    }
  }

  async #look(): Promise<void> {
    const { path, bytesMax } = this.#config
    const { mtimeMs, size, ino } = await stat(path)
    const state = `${mtimeMs} ${size} ${ino}`
    if (state === this.#seen) return
    // Once for each time that it is written, also if it is no good.
    this.#seen = state
    if (size > bytesMax) throw new Error(`${path} is larger than ${bytesMax} bytes`)
    await this.#deps.onText(await readFile(path, 'utf8'))
  }
}
