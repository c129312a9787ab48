import type { Peer } from '#protocol/peer/peer'
import type { FigureMaker } from './figure.ts'

/** What peers know of producers, and what came of it. */
export function producerFigures(make: FigureMaker) {
  const outcomes = make.shownCounter(
    {
      name: 'grapevine_node_producer_outcomes_total',
      help: 'Publishes with producers: retried records, gaps noted, requests refused as fenced, refusedGaps or differing. Differing: a client reuses its numbers.',
    },
    ['kind'],
  )
  const spans = make.gauge({
    name: 'grapevine_node_producer_spans',
    help: 'Runs of numbers of producers in memory. Near 131072 topics that were not used for longest are forgotten and read again.',
  })
  const topics = make.gauge({
    name: 'grapevine_node_producer_topics',
    help: 'Topics of which numbers of producers are in memory.',
  })
  const horizon = make.gauge({
    name: 'grapevine_node_producer_horizon_seconds',
    help: 'Age of the newest numbers forgotten at a bound since the start; NaN: none. Retries as old as that may be stored again.',
  })
  return {
    collect: ({ producers, producerIndexes }: Pick<Peer, 'producers' | 'producerIndexes'>, wallMs: number): void => {
      outcomes(Object.entries(producers.figures).map(([kind, count]) => [{ kind }, count]))
      spans(producerIndexes.spanCount)
      topics(producerIndexes.topicCount)
      const { forgottenMs } = producerIndexes
      horizon(forgottenMs === undefined ? Number.NaN : Math.max(0, wallMs - forgottenMs) / 1_000)
    },
  }
}
