import { pause } from '#client/backoff'
import type { Mesh } from '#client/mesh'
import { MeshError } from '#protocol/errors'
import type { HealView, MeshEvent } from '#protocol/views'
import type { LabPeer } from './back-end.ts'

export type BeliefState = 'alive' | 'suspect' | 'dead' | 'left'

export interface Change {
  /** Of the run. */
  readonly atMs: number
  readonly state: BeliefState
  readonly reason?: string
}

/** What one peer believed of another one, in the order in which it came to believe it. */
export interface Belief {
  readonly observer: string
  readonly subject: string
  readonly changes: readonly Change[]
}

const states: ReadonlySet<unknown> = new Set<BeliefState>(['alive', 'suspect', 'dead', 'left'])
const isState = (value: unknown): value is BeliefState => states.has(value)

/** Changes of a belief are told as events with a `to`. */
function changeIn({ name, reason, ...more }: MeshEvent): { name: string; change: Omit<Change, 'atMs'> } | undefined {
  const to = more['to']
  if (name === undefined || !isState(to)) return undefined
  return { name, change: { state: to, ...(reason !== undefined && { reason }) } }
}

const waitMs = 10_000
const askAgainMs = 200

/** Asks every peer what it has come to believe of the others, by its events. Times are of the run, whatever their clocks show. */
export class Beliefs {
  readonly #startMs: number
  readonly #clocks = new Map<string, number>()
  readonly #seen = new Map<string, Map<string, Change[]>>()
  #missed = 0

  /** `startMs`: when the run began, by the wall clock here. */
  constructor(startMs: number) {
    this.#startMs = startMs
  }

  get all(): readonly Belief[] {
    return [...this.#seen].flatMap(([observer, subjects]) =>
      [...subjects].map(([subject, changes]) => ({ observer, subject, changes })),
    )
  }

  /** Events that a peer has let go of before they were asked for. */
  get missed(): number {
    return this.#missed
  }

  /** Until the signal. Resolves then. */
  async watch({ name, client }: LabPeer, signal: AbortSignal): Promise<void> {
    this.#clocks.set(name, await clockOffsetOf(client))
    let { last } = await client.events({ from: 'latest' })
    const nowMs = Date.now() - this.#startMs
    for (const member of await client.members()) {
      if (!member.self) this.#add(name, member.name, { atMs: nowMs, state: member.state })
    }
    while (!signal.aborted) {
      try {
        const from = last === undefined ? { from: 'earliest' as const } : { after: last }
        const page = await client.events({ ...from, waitMs, signal })
        this.#take(name, page.events)
        this.#missed += page.gap?.missed ?? (page.gap === undefined ? 0 : 1)
        last = page.last ?? last
      } catch (error) {
        if (!signal.aborted && !(error instanceof MeshError)) throw error
        // The gateway had no time for us; its events wait.
        await pause(askAgainMs, signal).catch(() => undefined)
      }
    }
  }

  /** The heals that this peer has seen since the run began. */
  async healsOf({ name, client }: LabPeer): Promise<readonly HealView[]> {
    const heals = await client.heals()
    return heals.filter(({ until }) => this.#runMs(name, until) >= 0)
  }

  #take(observer: string, events: readonly MeshEvent[]): void {
    for (const event of events) {
      const found = changeIn(event)
      if (found !== undefined)
        this.#add(observer, found.name, { atMs: this.#runMs(observer, event.time), ...found.change })
    }
  }

  #runMs(observer: string, time: string): number {
    return Date.parse(time) - (this.#clocks.get(observer) ?? 0) - this.#startMs
  }

  #add(observer: string, subject: string, change: Change): void {
    const subjects = this.#seen.get(observer) ?? new Map<string, Change[]>()
    this.#seen.set(observer, subjects)
    const changes = subjects.get(subject) ?? []
    subjects.set(subject, changes)
    if (changes.at(-1)?.state !== change.state) changes.push(change)
  }
}

/** How far the clock of a peer is ahead of ours, in milliseconds: half a round trip may be wrong. */
async function clockOffsetOf(client: Mesh): Promise<number> {
  const askedMs = Date.now()
  const { now } = await client.self()
  return Date.parse(now) - (askedMs + Date.now()) / 2
}
