import type { PeerId } from '#protocol/ids'
import { decodeTopics } from '#protocol/topics/topic-records'
import type { TopicState } from '#protocol/topics/topic-state'
import { InternalRecords } from './internal-records.ts'

/** What this peer's disk has of `$topics`. */
export class TopicRecords extends InternalRecords<TopicState> {
  constructor(self: PeerId) {
    super(self, decodeTopics)
  }
}
