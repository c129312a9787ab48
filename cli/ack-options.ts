import { InvalidArgumentError, Option } from 'commander'
import type { Ack } from '#client/publish'
import { parseAckLevel } from '#protocol/ack-level'
import { MeshError } from '#protocol/errors'
import { limits } from '#protocol/limits'
import { durationMsOf } from './duration.ts'
import { counted } from './output.ts'

/** A mistake is told before anything is sent. Throws USAGE. */
export function checkAckLevel(text: string): void {
  if (parseAckLevel(text) !== undefined) return
  throw new MeshError('USAGE', `--ack ${text} must be local, n:K, majority or all`)
}

export const waitOption = (): Option =>
  new Option('-w, --wait <duration>', 'how long to wait for that, such as 300ms or 2s (at most 60s)').argParser(waitOf)

/** The peer reads it. */
function waitOf(text: string): string {
  if (durationMsOf(text) > limits.waitMsMax) throw new InvalidArgumentError('It must be at most 60s.')
  return text
}

export const ackText = (ack: Ack): string =>
  `ack ${ack.level}: ${ack.reached ? 'reached' : 'not reached'}, on ${counted(ack.copies, 'disk')} (${ack.peers.join(', ')})`
