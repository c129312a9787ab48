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
  readonly #commit: Pick<GroupCommit, 'storeMeta'>
  readonly #key: string
  #isWriting = false
  #next: Write | undefined

  constructor(commit: Pick<GroupCommit, 'storeMeta'>, key: string) {
    this.#commit = commit
    this.#key = key
  }

  /** `stored` is called if these very bytes are written; newer ones may take their place before that. */
  set(bytes: Uint8Array, stored?: () => void): void {
    this.#next = { bytes, stored }
    if (!this.#isWriting) this.#write()
  }

  #write(): void {
    const write = this.#next
    this.#next = undefined
    this.#isWriting = write !== undefined
    if (write === undefined) return
    this.#commit.storeMeta([this.#key, write.bytes], () => {
      write.stored?.()
      this.#write()
    })
  }
}
