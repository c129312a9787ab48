import { copiesNeeded, ackLevelText } from '#protocol/ack-level'
import { placeText } from '../history.ts'
import type { Answer, Publish } from '../history.ts'
import type { Anomaly, Disks } from './anomaly.ts'

/**
 * P2, at the moment of an answer: every disk that it names has the records fsynced (or had them, and was damaged since),
 * and `reached` is said only with as many copies as the level asks for.
 */
export function checkAnswer(publish: Publish, answer: Answer, disks: Disks): readonly Anomaly[] {
  const anomalies: Anomaly[] = []
  const blame = (detail: string): void => void anomalies.push({ checker: 'ack-honesty', detail })
  for (const place of answer.places) {
    for (const peer of answer.copies) {
      const disk = disks.get(peer)
      if (disk?.holds(place.feed, place.offset) || disk?.hasLost(place.feed, place.offset)) continue
      blame(`${publish.at} counts a copy of ${placeText(place)} at ${peer}, whose disk does not have it`)
    }
  }
  if (answer.copies[0] !== publish.at) blame(`${publish.at} answers without a copy of its own`)
  const needed = copiesNeeded(publish.level, answer.home.length)
  const counted = answer.copies.filter((peer) => !needed.homeOnly || answer.home.includes(peer))
  if (new Set(counted).size < needed.count && answer.reached) {
    blame(
      `${publish.at} says that ${ackLevelText(publish.level)} was reached with ${counted.length} of ${needed.count} copies`,
    )
  }
  return anomalies
}
