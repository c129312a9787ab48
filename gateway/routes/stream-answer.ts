/** An answer that goes on; nothing on its way may keep it or hold it back. */
export const streamAnswer = (stream: ReadableStream<Uint8Array>, contentType: string): Response =>
  new Response(stream, {
    headers: {
      'content-type': contentType,
      'cache-control': 'no-cache',
      // nginx would hold lines back in its buffers.
      'x-accel-buffering': 'no',
    },
  })
