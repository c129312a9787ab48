import type { Sabotage } from '../sim-peer.ts'
import type { PlantedBugs } from './planted-bug.ts'

/** The cursor of an answer is the one from before the publish. */
const answerWithOldCursor: Sabotage = {
  publisher: (broker) => {
    const last = new Map<string, string>()
    return {
      awaitCopies: (...asked) => broker.awaitCopies(...asked),
      publish: async (request) => {
        const result = await broker.publish(request)
        const cursor = last.get(request.topic) ?? result.cursor
        last.set(request.topic, result.cursor)
        return { ...result, cursor }
      },
    }
  },
}

export const sessionBugs: PlantedBugs = {
  'answer-with-old-cursor': { sabotage: answerWithOldCursor, checker: 'sessions', faults: {} },
}
