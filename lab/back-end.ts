import { MeshError } from '#protocol/errors'
import type { HoldingPeer } from './ledger/home-holdings.ts'
import type { Scenario } from './scenario.ts'

/** A peer of a run, with a client that knows it alone and reaches it whatever is cut between peers. */
export interface LabPeer extends HoldingPeer {
  readonly http: string
}

/** What frames or packets suffer in one direction. */
export interface Way {
  /** How likely one is lost, in [0, 1]. */
  readonly loss: number
  /** One way. */
  readonly delayMs: number
}

/**
 * Where a scenario is played. Names are those of the scenario; who has not been started yet can be cut off already. What some
 * cannot do says `checkPlayable`.
 */
export interface BackEnd extends AsyncDisposable {
  /** Resolves when the peer serves clients. `seeds`: names of peers that are up, of which it joins one. */
  start(name: string, seeds: readonly string[]): Promise<LabPeer>
  /** From now on nothing that these send reaches those. */
  cut(from: readonly string[], to: readonly string[]): Promise<void>
  /** From now on what `from` sends comes to `to` like that. */
  link(from: string, to: string, way: Way): Promise<void>
  /** All gets through again, at once. */
  heal(): Promise<void>
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
