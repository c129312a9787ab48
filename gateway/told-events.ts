/** For tests: an event as a client of server-sent events sees it, or the `id` and `retry` that come without one. */
export interface SseEvent {
  readonly event?: string
  readonly id?: string
  readonly retry?: string
  readonly data?: unknown
}

/** The events of a stream, and its comments as `undefined`. */
export async function* eventsOf(answer: Response): AsyncGenerator<SseEvent | undefined> {
  let rest = ''
  for await (const piece of (answer.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream())) {
    const blocks = (rest + piece).split('\n\n')
    rest = blocks.pop() ?? ''
    yield* blocks.map(eventOf)
  }
}

function eventOf(block: string): SseEvent | undefined {
  if (block.startsWith(':')) return undefined
  const fields = Object.fromEntries(
    block.split('\n').map((line) => [line.slice(0, line.indexOf(': ')), line.slice(line.indexOf(': ') + 2)]),
  )
  return 'data' in fields ? { ...fields, data: JSON.parse(fields['data'] as string) as unknown } : fields
}

export async function take(
  events: AsyncGenerator<SseEvent | undefined>,
  count: number,
): Promise<(SseEvent | undefined)[]> {
  const taken = []
  while (taken.length < count) taken.push((await events.next()).value as SseEvent | undefined)
  return taken
}
