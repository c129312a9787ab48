import { MeshError } from '#protocol/errors'
import type { ReadChunk, Reader, ReadGap } from './broker.ts'

/**
 * A reader for who would rather stop than miss something: where records are not kept any more it rejects with RECORDS_LOST,
 * which names them, instead of going on behind them. `late` is told as ever: what is late may come.
 */
export class StrictReader implements Reader {
  readonly #reader: Reader
  #lost: MeshError | undefined

  constructor(reader: Reader) {
    this.#reader = reader
  }

  get cursor(): string {
    return this.#reader.cursor
  }

  async next(limit: number, bytesTarget?: number): Promise<ReadChunk> {
    if (this.#lost !== undefined) throw this.#lost
    const { cursor } = this.#reader
    const chunk = await this.#reader.next(limit, bytesTarget)
    const gaps = (chunk.gaps ?? []).filter(({ type }) => type === 'lost')
    if (gaps.length === 0) return chunk
    this.#lost = new MeshError('RECORDS_LOST', `${inWords(gaps)} not kept any more.`, { facts: { gaps, cursor } })
    throw this.#lost
  }

  more(signal: AbortSignal): Promise<void> {
    return this.#reader.more(signal)
  }
}

function inWords([gap, ...others]: readonly ReadGap[]): string {
  const first = `Offsets ${gap?.from} to ${gap?.to} of ${gap?.feed}`
  return others.length === 0 ? `${first} are` : `${first} and ${others.length} more ranges are`
}
