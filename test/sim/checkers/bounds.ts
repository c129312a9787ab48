import { limits } from '#protocol/limits'
import type { ControlMessage } from '#protocol/wire/control-frame'
import { decodeDataFrame } from '#protocol/wire/data-frame'
import type { WireFault } from '#protocol/wire/fault'
import type { End } from '../link.ts'
import type { Anomaly } from './anomaly.ts'

/** P10 on each link: bytes of batches sent, and not yet given back as credit, never exceed the credit of a link. */
export class BoundsChecker {
  readonly #inFlight = new WeakMap<End, number>()

  dataSent(from: End, frame: Uint8Array): readonly Anomaly[] {
    const decoded = decodeDataFrame(frame)
    if (decoded.type === 'fault') return []
    const inFlight = (this.#inFlight.get(from) ?? 0) + decoded.batches.length
    this.#inFlight.set(from, inFlight)
    if (inFlight <= limits.linkCreditBytes) return []
    const detail = `${from.host.peer} has ${inFlight} B in flight on one link, with credit for ${limits.linkCreditBytes}`
    return [{ checker: 'bounds', detail }]
  }

  /** A credit takes effect when it reaches the sender of the data. */
  controlHeard(at: End, message: ControlMessage | WireFault): readonly Anomaly[] {
    if (message.type !== 'credit') return []
    const inFlight = (this.#inFlight.get(at) ?? 0) - message.bytes
    this.#inFlight.set(at, inFlight)
    return inFlight >= 0 ? [] : [{ checker: 'bounds', detail: `${at.host.peer} got ${-inFlight} B of credit too much` }]
  }
}
