import type { Peer } from '#protocol/peer/peer'
import { exists } from '#protocol/topics/topic-state'
import type { FigureMaker } from './figure.ts'

/** The registry of topics, and what is left of deleted ones. */
export function topicFigures(make: FigureMaker) {
  const registered = make.gauge({
    name: 'grapevine_topics_registered',
    help: 'Topics that the registry has. Towards 65,536 with all that were ever deleted: new names are refused.',
  })
  const deleted = make.gauge({
    name: 'grapevine_topics_deleted_records',
    help: 'Records here that were published to a topic after it had been deleted elsewhere. Above 0: somebody missed it; read them as $deleted.<topic>.<generation> before they go.',
  })
  return {
    collect: (peer: Peer): void => {
      registered([...peer.topics.all()].filter(exists).length)
      deleted(peer.remainingTopics().reduce((sum, { records }) => sum + records, 0))
    },
  }
}
