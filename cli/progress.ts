import type { Terminal } from './terminal.ts'

const showEveryMs = 250

/** One line on a terminal that tells how far long work has got, and is gone afterwards. Nothing where no person looks. */
export class Progress {
  readonly #terminal: Terminal
  #shownMs = performance.now()
  #visible = false

  constructor(terminal: Terminal) {
    this.#terminal = terminal
  }

  show(text: string): void {
    const { stderr } = this.#terminal
    const nowMs = performance.now()
    if (stderr.isTTY !== true || nowMs - this.#shownMs < showEveryMs) return
    this.#shownMs = nowMs
    this.#visible = true
    stderr.write(`\r\u001b[2K${text}`)
  }

  end(): void {
    if (this.#visible) this.#terminal.stderr.write('\r\u001b[2K')
    this.#visible = false
  }
}
