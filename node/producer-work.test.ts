// Goal: nobody is given what a peer that has stopped cannot tell from a repeat. Method: the index of a topic is asked for.
import { expect, test } from 'vitest'
import { MeshError } from '#protocol/errors'
import type { TopicId } from '#protocol/ids'
import { ProducerIndex } from '#protocol/log/producer-index'
import { ProducerWork, type ProducerWorkDeps } from './producer-work.ts'

const topicId = '1'.repeat(32) as TopicId

test('a peer that has stopped has no index any more, one that was loaded neither (simulator, seed 1272)', async () => {
  const index = new ProducerIndex()
  const indexes = { get: () => index } as Partial<ProducerWorkDeps['indexes']> as ProducerWorkDeps['indexes']
  const work = new ProducerWork({ indexes, input: () => {} } as Partial<ProducerWorkDeps> as ProducerWorkDeps)
  expect(await work.of(topicId)).toBe(index)
  work.stop(new MeshError('STORAGE_FAILED', 'The disk has failed.'))
  await expect(work.of(topicId)).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
})
