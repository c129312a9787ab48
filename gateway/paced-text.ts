/**
 * Texts as the body of an answer, each one write. The socket paces them: the next is asked for when the socket has taken
 * what was there before. `end` runs once, when all is told or the client has gone.
 */
export function pacedText(texts: AsyncIterator<string, void>, end: () => void): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder()
  let gone = false
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await texts.next()
        // The client went while we waited: its stream is closed already.
        if (gone) return
        if (done !== true) return controller.enqueue(encoder.encode(value))
        end()
        controller.close()
      },
      cancel() {
        gone = true
        end()
      },
    },
    // Nothing is read ahead: see above.
    { highWaterMark: 0 },
  )
}
