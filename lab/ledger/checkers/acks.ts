import { Findings } from '../findings.ts'
import { type History, isOk, type Ok, type Publish } from '../history.ts'

/** P2: an answer that says "reached" names enough disks for its level. */
export function checkAcks({ publishes }: History): Findings {
  const wrong = new Findings()
  for (const publish of publishes) {
    if (!isOk(publish) || !publish.outcome.reached) continue
    const fault = faultOf(publish)
    if (fault === undefined) continue
    const { writer, firstSeq, at, level, outcome } = publish
    wrong.add(`${writer} ${firstSeq}, acked ${level} by ${at} on ${outcome.copies.join(', ') || 'no disk'}: ${fault}`)
  }
  return wrong
}

function faultOf({ at, level, outcome }: Publish & { readonly outcome: Ok }): string | undefined {
  const { copies, home } = outcome
  if (!copies.includes(at)) return `${at} itself is not among them`
  if (new Set(copies).size < copies.length) return 'a disk is named twice'
  const wanted = /^n:(\d+)$/.exec(level)?.[1]
  if (wanted !== undefined && copies.length < Number(wanted)) return `fewer than ${wanted}`
  if (level !== 'majority' && level !== 'all') return undefined
  const atHome = home.filter((name) => copies.includes(name)).length
  const needed = level === 'all' ? home.length : Math.floor(home.length / 2) + 1
  return atHome < needed ? `${atHome} of ${needed} at home (${home.join(', ')})` : undefined
}
