import { MeshError } from '#protocol/errors'
import type { HoldingPeer } from './ledger/home-holdings.ts'
import type { Scenario } from './scenario.ts'
import type { Between } from './ways.ts'

/** A peer of a run, with a client that knows it alone and reaches it whatever is cut between peers. */
export interface LabPeer extends HoldingPeer {
  readonly http: string
}

/** Where a scenario is played. Names are those of the scenario. What some cannot do says `checkPlayable`. */
export interface BackEnd extends AsyncDisposable {
  /** Resolves when the peer serves clients. `seeds`: names of peers that are up, of which it joins one. */
  start(name: string, seeds: readonly string[]): Promise<LabPeer>
  readonly between: Between
}

export const backEndNames = ['peers', 'netns', 'docker'] as const
export type BackEndName = (typeof backEndNames)[number]

/** Throws LAB_UNSUPPORTED for a scenario that this back-end cannot play, before it is asked to. */
export function checkPlayable({ steps }: Scenario, via: BackEndName): void {
  const delays = steps.find(({ actions }) => actions.some((action) => action.type === 'link' && action.delayMs > 0))
  if (via !== 'peers' && delays !== undefined)
    throw new MeshError(
      'LAB_UNSUPPORTED',
      `"${delays.text}": --via ${via} drops packets and delays none; --via peers does`,
    )
}
