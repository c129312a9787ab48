import { expect, test } from 'vitest'
import { boundedLabels, other } from './bounded-labels.ts'

test('the first names in their order are labels, whatever order they came in; all others share one', () => {
  const labelOf = boundedLabels(['plums', 'apples', 'pears', 'apples'], 2)
  expect(['apples', 'pears', 'plums', undefined].map(labelOf)).toEqual(['apples', 'pears', other, other])
})

test('a name keeps its label while no smaller one comes', () => {
  const labelOf = boundedLabels(['apples', 'pears', 'quinces'], 2)
  expect(['apples', 'pears', 'quinces'].map(labelOf)).toEqual(['apples', 'pears', other])
})
