/**
 * Why a frame from another peer was not understood. A fault is a value, never an exception: the caller counts it by
 * kind, and skips the frame (`unknownType`, which a newer version may send) or closes the link (all others).
 */
export interface WireFault {
  readonly type: 'fault'
  readonly fault: 'tooLarge' | 'truncated' | 'notUtf8' | 'notJson' | 'unknownType' | 'badField'
  /** The unknown type, or the path of the bad field, such as `updates[3].incarnation`; at most 200 characters. */
  readonly where: string
}

const whereLengthMax = 200

export const faultOf = (fault: WireFault['fault'], where = ''): WireFault => ({
  type: 'fault',
  fault,
  where: where.slice(0, whereLengthMax),
})
