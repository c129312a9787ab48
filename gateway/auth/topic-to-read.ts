import type { Context } from 'hono'
import type { TopicName } from '#protocol/topic-name'
import { readableTopicOf } from '../parameters.ts'
import { authorize } from './principal.ts'

/** The `{topic}` of the path, to read by who asks. Throws TOPIC_NAME_INVALID, FORBIDDEN. */
export function topicToRead(c: Context): TopicName {
  const topic = readableTopicOf(c)
  authorize(c, 'subscribe', topic)
  return topic
}
