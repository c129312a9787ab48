// Goal: what is to be deleted is written down until it is. Method: a database of which each step is let through by hand.
import { expect, test } from 'vitest'
import type { LevelDatabase } from './level-database.ts'
import { Deletions } from './level-deletions.ts'
import type { FeedNumber } from './level-layout.ts'

const feed = 1 as FeedNumber

/** Tells what is done, and goes on when it is told to. */
function slowDatabase() {
  const steps: { readonly what: string; readonly done: () => void }[] = []
  const step = (what: string) => () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    steps.push({ what, done: resolve })
    return promise
  }
  const db = { clear: step('clear'), batch: step('remove') } as Partial<LevelDatabase> as LevelDatabase
  const goOn = async (): Promise<void> => {
    steps.at(-1)?.done()
    await new Promise(setImmediate)
  }
  return { db, goOn, done: () => steps.map(({ what }) => what) }
}

const failed = (error: unknown): void => {
  throw error
}

test('what an append under way writes down is not removed with what was there before: a crash would forget it', async () => {
  const { db, goOn, done } = slowDatabase()
  const deletions = new Deletions({ db, onFailure: failed })
  deletions.start([{ feed, from: 0, to: 5 }])
  const more = deletions.joined({ feed, from: 5, to: 9 })
  deletions.operation(more)
  await goOn()
  expect(done()).toEqual(['clear'])
  deletions.start([more])
  await goOn()
  await goOn()
  expect(done()).toEqual(['clear', 'clear', 'remove'])
})

test('an append waits for what is being removed', async () => {
  const { db, goOn, done } = slowDatabase()
  const deletions = new Deletions({ db, onFailure: failed })
  deletions.start([{ feed, from: 0, to: 5 }])
  await goOn()
  expect(done()).toEqual(['clear', 'remove'])
  let isRemoved = false
  const removed = deletions.removed().then(() => (isRemoved = true))
  await new Promise(setImmediate)
  expect(isRemoved).toBe(false)
  await goOn()
  await removed
})
