import type { GroupCommit } from '#storage/group-commit'

interface Write {
  readonly bytes: Uint8Array
  readonly stored: (() => void) | undefined
}

/**
 * A value of which only the newest matters: one write of it waits for the disk at a time, so that whoever makes it change
 * often, another peer maybe, does not fill the commit queue.
 */
export class LatestMeta {
  readonly #commit: Pick<GroupCommit, 'storeChange'>
  readonly #key: string
  #isWriting = false
  #next: Write | undefined
  /** Who waits for the write under way, and for the one after it. */
  #waiting: (() => void)[] = []
  #waitingForNext: (() => void)[] = []

  constructor(commit: Pick<GroupCommit, 'storeChange'>, key: string) {
    this.#commit = commit
    this.#key = key
  }

  /** `stored` is called if these very bytes are written; newer ones may take their place before that. */
  set(bytes: Uint8Array, stored?: () => void): void {
    this.#next = { bytes, stored }
    if (!this.#isWriting) this.#write()
  }

  /** Resolves once the newest of what was set by now, or something newer, is on disk. */
  written(): Promise<void> {
    if (!this.#isWriting) return Promise.resolve()
    const { promise, resolve } = Promise.withResolvers<void>()
    const waiting = this.#next === undefined ? this.#waiting : this.#waitingForNext
    waiting.push(resolve)
    return promise
  }

  #write(): void {
    const write = this.#next
    this.#next = undefined
    this.#waiting = this.#waitingForNext
    this.#waitingForNext = []
    this.#isWriting = write !== undefined
    if (write === undefined) return
    this.#commit.storeChange({ type: 'meta', key: this.#key, value: write.bytes }, () => {
      write.stored?.()
      for (const resolve of this.#waiting) resolve()
      this.#write()
    })
  }
}
