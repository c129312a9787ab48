import { setFlagsFromString } from 'node:v8'

/**
 * How much V8 lets a heap grow from one full collection to the next: to three times what is alive. By itself it takes up
 * to four times for programs that make garbage fast, and a third more for a peer, which it takes for a slow one: nearly
 * all garbage of a peer is the bytes of frames, outside the heap. Those count all the same, so it collected every 20 MB of
 * them, and catching up spent near half of its processor time on marking the same 40 MB of code and tables again. Now
 * V8's own bound of such bytes, 64 MB, is met first.
 *
 * Higher: no fewer collections, as long as little lives, and more memory.
 */
const growthPercent = 200

/** For the process of a peer. */
export function growHeapFreely(): void {
  setFlagsFromString(`--heap-growing-percent=${growthPercent}`)
}
