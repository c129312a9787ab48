import { parseAckLevel } from '#protocol/ack-level'
import { MeshError } from '#protocol/errors'
import { feedKeyOf } from '#protocol/log/feed'
import { encodeRecords } from '#protocol/log/record'
import { utf8 } from '#protocol/text'
import { dotOf, type Run, runOf } from '#protocol/topics/register'
import type { AckLevel } from '#protocol/ack-level'
import type { PublishAnswer } from '#node/driver'
import type { PeerId } from '#protocol/ids'
import type { AskedConfig } from '#protocol/topic-config'
import type { TopicName } from '#protocol/topic-name'
import type { Dot } from '#protocol/topics/register'
import type { TopicState } from '#protocol/topics/topic-state'
import type { Dice } from './dice.ts'
import type { Place } from './history.ts'
import type { Scheduler } from './scheduler.ts'
import type { SimPeer } from './sim-peer.ts'
import type { AdministrationOptions } from './swarm.ts'
import type { Trace } from './trace.ts'

/** Topics that are configured and deleted; nobody publishes to them. */
const configured = ['conf.a', 'conf.b'] as const
/** Topics that are published to and deleted, over and over. */
const temporary = ['temp.a', 'temp.b'] as const
export const administered: readonly string[] = [...configured, ...temporary]

/** What an administrator asked of a peer, and what that peer knew. */
export interface Edit {
  readonly at: PeerId
  readonly topic: string
  /** What its peer knew when it was asked. */
  readonly base: TopicState
  readonly asked: AskedConfig
  /** Undefined when nothing had to be changed, and for a deletion. */
  readonly dot: Dot | undefined
  readonly deletes: boolean
  outcome: 'unknown' | 'done' | 'refused'
}

/** A record of a temporary topic that was acked, by its peer alone maybe. */
export interface TemporaryRecord {
  readonly topic: string
  readonly place: Place
  readonly value: string
  readonly copies: readonly PeerId[]
}

export interface Administration {
  readonly edits: Edit[]
  readonly records: TemporaryRecord[]
}

export interface AdministratorsDeps {
  readonly scheduler: Scheduler
  readonly dice: Dice
  readonly peers: readonly SimPeer[]
  readonly trace: Trace
  readonly options: AdministrationOptions
}

/** Clients that make, change and delete topics at whatever peer, on whatever side. */
export class Administrators {
  readonly history: Administration = { edits: [], records: [] }
  readonly #deps: AdministratorsDeps
  #count = 0

  constructor(deps: AdministratorsDeps) {
    this.#deps = deps
  }

  runUntil(endMs: number): void {
    const { scheduler, dice, options } = this.#deps
    scheduler.after(dice.exponential(options.everyMs), () => {
      if (scheduler.nowMs >= endMs) return
      const at = dice.pick(this.#deps.peers)
      at.do(() => this.#act(at))
      this.runUntil(endMs)
    })
  }

  #act(at: SimPeer): void {
    const { dice } = this.#deps
    const topic = dice.pick(administered) as TopicName
    const isTemporary = (temporary as readonly string[]).includes(topic)
    const asked = isTemporary ? {} : this.#someConfig()
    if (dice.chance(0.15)) this.#edit(at, topic, { deletes: true, asked: {} })
    else if (isTemporary && dice.chance(0.8)) this.#publish(at, topic)
    else this.#edit(at, topic, { deletes: false, asked })
  }

  #someConfig(): AskedConfig {
    const { dice } = this.#deps
    return {
      ...(dice.chance(0.5) && { replicas: dice.whole(1, 9) }),
      ...(dice.chance(0.5) && { retention: dice.chance(0.2) ? {} : { ageMs: dice.whole(1, 9) * 86_400_000 } }),
      ...(dice.chance(0.5) && {
        minAck: parseAckLevel(dice.pick(['local', 'n:2', 'n:3', 'majority', 'all'])) as AckLevel,
      }),
    }
  }

  #edit(at: SimPeer, topic: TopicName, { deletes, asked }: Pick<Edit, 'deletes' | 'asked'>): void {
    const { dice, trace } = this.#deps
    const driver = at.driver
    if (driver === undefined) return
    const { topics, self, epoch } = driver.peer
    const run = runOf(self, epoch)
    // A deletion is of the generation that is known on disk: one that is about to be made nobody has been told of.
    const base = deletes ? topics.get(topic) : topics.latest(topic)
    const kind = deletes ? 'delete' : dice.chance(0.5) ? 'put' : 'patch'
    const request = { asked, version: undefined, atMs: 1 }
    const answer = driver.editTopic(topic, { type: kind, ...request })
    const edit: Edit = {
      at: at.id,
      topic,
      base,
      asked,
      deletes,
      dot: dotAfter(base, topics.latest(topic), run),
      outcome: 'unknown',
    }
    this.history.edits.push(edit)
    trace.line(at.id, kind, `${topic} of generation ${base.generation} ${JSON.stringify(asked)}`)
    const settle = (outcome: Edit['outcome'], why = ''): void => {
      edit.outcome = outcome
      trace.line(at.id, kind, `${topic} ${outcome} ${why}`)
    }
    answer.then(
      () => settle('done'),
      (error: unknown) => settle('refused', codeOf(error)),
    )
  }

  #publish(at: SimPeer, topic: TopicName): void {
    const value = `t${++this.#count}`
    const records = encodeRecords([{ value: utf8(value), headers: {} }])
    this.#deps.trace.line(at.id, 'publish', `${topic} ${value}`)
    at.driver?.publish(topic, [records], { type: 'local' }, 0).then(
      ([answer]) => answer && this.#acked(topic, value, answer),
      (error: unknown) => void codeOf(error),
    )
  }

  #acked(topic: string, value: string, { placed, settled }: PublishAnswer): void {
    const [run] = placed.runs
    if (run === undefined) return
    const place = { feed: feedKeyOf(run.feed), offset: run.firstOffset }
    this.history.records.push({ topic, place, value, copies: settled.peers })
  }
}

function dotAfter(base: TopicState, now: TopicState, run: Run): Dot | undefined {
  const n = now.seen.get(run)
  const isNew = now.generation === base.generation && n !== undefined && n !== base.seen.get(run)
  return isNew ? dotOf(run, n) : undefined
}

function codeOf(error: unknown): string {
  if (!(error instanceof MeshError)) throw error
  return error.code
}
