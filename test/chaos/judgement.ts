import { eventually } from '../integration/process-peer.ts'
import { checkDamaged, checkSame } from '#lab/ledger/checkers/contents'
import { Findings } from '#lab/ledger/findings'
import type { History } from '#lab/ledger/history'
import { IndexedReading } from '#lab/ledger/indexed-reading'
import { readAt } from '#lab/ledger/ledger'
import type { ReadingLog } from '#lab/ledger/reading-log'
import { judge, type Verdict } from '#lab/ledger/verdict'
import type { Machines } from './machines.ts'

/** How long what a read finds damaged may take to come back from others; a peer may start again meanwhile. */
const mendMsMax = 60_000

export interface Judgement {
  readonly verdicts: readonly Verdict[]
  /** What there is of each topic in the end, by one of the machines. */
  readonly finals: ReadonlyMap<string, IndexedReading>
  /** Peers that have different records at one place. */
  readonly unequalReadings: Findings
}

/** Every topic, read at every machine, held against the history and against what the others serve. */
export async function judgeAll(
  history: History,
  machines: Machines,
  topics: readonly string[],
  say: (what: string) => void = () => {},
): Promise<Judgement> {
  const verdicts: Verdict[] = []
  const finals = new Map<string, IndexedReading>()
  const unequalReadings = new Findings()
  for (const topic of topics) {
    say(`reading ${topic} everywhere`)
    let first: IndexedReading | undefined
    for (const { name } of machines.all) {
      const { log, damaged } = await readWhole(machines, name, topic)
      const reading = new IndexedReading(log)
      // Late may be what only a disk had that is gone: who was told of it by its peer waits for that one (P5), and rightly so
      // as long as it belongs. What somebody else serves must not be late; what is owed is missed as `lost` in any case.
      const verdict = judge(history, log, { indexed: reading, final: first ?? reading })
      verdict.faults.wrongBytes.take(damaged)
      verdicts.push(verdict)
      if (first !== undefined) unequalReadings.take(checkSame(first, reading))
      first ??= reading
      finals.set(topic, first)
    }
  }
  return { verdicts, finals, unequalReadings }
}

/**
 * Reads until nothing is late any more, again from the beginning if the peer ends; what was served wrong on the way counts
 * as well. Whoever still waits in the end will be found to lack something.
 */
async function readWhole(
  machines: Machines,
  name: string,
  topic: string,
): Promise<{ readonly log: ReadingLog; readonly damaged: Findings }> {
  const damaged = new Findings()
  let log: ReadingLog | undefined
  const isWhole = async (): Promise<boolean> => {
    const { peer } = machines.at(name)
    if (peer === undefined) return false
    if (log !== undefined) damaged.take(checkDamaged(log))
    log = await readAt(peer, topic)
    return !log.isWaiting
  }
  const failure = await eventually(`${name} serves all of ${topic}`, isWhole, mendMsMax).catch(
    (error: unknown) => error,
  )
  if (log === undefined) throw failure
  return { log, damaged }
}
