import type { ErrorCode } from '#protocol/errors'
import type { Publish } from '../history.ts'
import type { Anomaly } from './anomaly.ts'

/** P1: a peer that is up takes what is published to it, whatever the network, the other peers and the clocks do. */
export function checkRefusal({ at, topic, level, numbered }: Publish, code: ErrorCode): readonly Anomaly[] {
  // It is leaving, or its disk has failed, or fewer peers belong to the mesh than copies were asked for.
  // `full-disk` and `decommission` see whether that is so.
  const isCommon =
    code === 'DISK_FULL' ||
    code === 'DECOMMISSIONED' ||
    code === 'FORGOTTEN' ||
    code === 'DRAINING' ||
    code === 'STORAGE_FAILED' ||
    (code === 'ACK_LEVEL_IMPOSSIBLE' && level.type === 'count')
  // `dedupe` sees whether that is so.
  const isOutOfTurn = numbered !== undefined && (code === 'PRODUCER_FENCED' || code === 'PRODUCER_GAP')
  const isAllowed = isCommon || isOutOfTurn
  return isAllowed ? [] : [{ checker: 'availability', detail: `${at} refuses a publish to ${topic}: ${code}` }]
}

/** A publish is answered, with fewer copies if need be, as long as the process that took it runs. */
export const neverAnswered = ({ at, topic, values }: Publish): Anomaly => ({
  checker: 'availability',
  detail: `${at} never answered the publish of ${values.join(' ')} to ${topic}`,
})
