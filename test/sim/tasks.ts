import { planted as bugs } from './planted/index.ts'
import { tailoredTo } from './planted/planted-bug.ts'
import { simulate } from './simulation.ts'
import { optionsOf } from './worlds.ts'
import type { SimResult } from './simulation.ts'
import type { World, WorldKind } from './worlds.ts'

/** One world to run, or one planted bug to look for in a world after the other. */
export type Task =
  | ({ readonly type: 'run' } & World)
  | { readonly type: 'hunt'; readonly bug: string; readonly kind: HuntKind; readonly seedsMax: number }

/** `tailored`: in worlds in which the bug shows soon. */
export type HuntKind = WorldKind | 'tailored'

export type TaskResult =
  | { readonly type: 'run'; readonly world: World; readonly result: SimResult; readonly seconds: number }
  /** `caught` is what the first checker said that said anything; in a tailored world, the one that should if any. */
  | { readonly type: 'hunt'; readonly bug: string; readonly caught: Catch | undefined; readonly seconds: number }

export interface Catch {
  readonly seed: number
  readonly checker: string
  readonly detail: string
}

export async function runTask(task: Task): Promise<TaskResult> {
  const startedMs = performance.now()
  const seconds = (): number => (performance.now() - startedMs) / 1_000
  if (task.type === 'run') {
    const { seed, kind } = task
    const result = await simulate(optionsOf(task))
    return { type: 'run', world: { seed, kind }, result, seconds: seconds() }
  }
  const caught = await hunt(task)
  return { type: 'hunt', bug: task.bug, caught, seconds: seconds() }
}

async function hunt({ bug, kind, seedsMax }: Extract<Task, { type: 'hunt' }>): Promise<Catch | undefined> {
  const planted = bugs[bug]
  if (planted === undefined) throw new Error(`no planted bug is called ${bug}: ${Object.keys(bugs).join(', ')}`)
  let caught: Catch | undefined
  for (let seed = 1; seed <= seedsMax; seed++) {
    const options = kind === 'tailored' ? tailoredTo(planted, seed) : optionsOf({ seed, kind })
    const { anomalies } = await simulate(options, { sabotage: planted.sabotage })
    const first = anomalies.find(({ checker }) => checker === planted.checker) ?? anomalies[0]
    if (first === undefined) continue
    caught ??= { seed, ...first }
    // In any world another checker may be the first to say something.
    if (kind !== 'tailored' || first.checker === planted.checker) return { seed, ...first }
  }
  return caught
}
