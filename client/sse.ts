/** One event of a stream, as the HTML standard reads it ("Server-sent events", 9.2.6). */
export interface SseEvent {
  /** The event's name, `message` when none was given. */
  readonly type: string
  readonly data: string
  /** The last id that the stream has set, with this event or before. */
  readonly lastEventId: string
}

/**
 * Parses an event stream piece by piece: a piece may end anywhere, also between CR and LF or inside a character. What
 * an unfinished event may hold is bounded by `eventLengthMax` characters; beyond it RangeError is thrown.
 */
export class SseParser {
  readonly #decoder = new TextDecoder()
  readonly #eventLengthMax: number
  /** The unfinished line in the pieces it came in: joining them at its end keeps long lines linear. */
  #linePieces: string[] = []
  #eventLength = 0
  #endedWithCr = false
  #type = ''
  #data: string[] = []
  #id = ''

  constructor(eventLengthMax: number) {
    this.#eventLengthMax = eventLengthMax
  }

  push(bytes: Uint8Array): SseEvent[] {
    const text = this.#decoder.decode(bytes, { stream: true })
    if (text === '') return []
    const events: SseEvent[] = []
    const lineEnd = /\r\n|\r|\n/g
    let start = this.#endedWithCr && text.startsWith('\n') ? 1 : 0
    this.#endedWithCr = text.endsWith('\r')
    lineEnd.lastIndex = start
    for (let end = lineEnd.exec(text); end !== null; end = lineEnd.exec(text)) {
      this.#keep(text.slice(start, end.index))
      const event = this.#endLine()
      if (event !== undefined) events.push(event)
      start = lineEnd.lastIndex
    }
    this.#keep(text.slice(start))
    return events
  }

  #keep(piece: string): void {
    this.#eventLength += piece.length
    if (this.#eventLength > this.#eventLengthMax) throw new RangeError('an event of the stream is too long')
    if (piece !== '') this.#linePieces.push(piece)
  }

  #endLine(): SseEvent | undefined {
    const line = this.#linePieces.join('')
    this.#linePieces = []
    if (line === '') return this.#dispatch()
    const colon = line.indexOf(':')
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    this.#setField(field, value)
    return undefined
  }

  /** A line that begins with a colon is a comment: its field is empty, as unknown to us as `retry`. */
  #setField(field: string, value: string): void {
    if (field === 'event') this.#type = value
    else if (field === 'data') this.#data.push(value)
    else if (field === 'id' && !value.includes('\0')) this.#id = value
  }

  #dispatch(): SseEvent | undefined {
    const event = { type: this.#type || 'message', data: this.#data.join('\n'), lastEventId: this.#id }
    const complete = this.#data.length > 0
    this.#type = ''
    this.#data = []
    this.#eventLength = 0
    return complete ? event : undefined
  }
}
