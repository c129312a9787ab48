import { fork } from 'node:child_process'
import { once } from 'node:events'
import { runTask } from './tasks.ts'
import type { Task, TaskResult } from './tasks.ts'

/** Runs the tasks in so many processes at a time, or with one job in this one; `done` is told of each as it ends. */
export async function runTasks(
  tasks: readonly Task[],
  { jobs, done }: { readonly jobs: number; readonly done: (result: TaskResult) => void },
): Promise<void> {
  const waiting = tasks.values()
  const workers = jobs > 1 ? Array.from({ length: Math.min(jobs, tasks.length) }, startWorker) : [here]
  try {
    await Promise.all(
      workers.map(async ({ run }) => {
        for (const task of waiting) done(await run(task))
      }),
    )
  } finally {
    for (const { stop } of workers) stop()
  }
}

interface Worker {
  readonly run: (task: Task) => Promise<TaskResult>
  readonly stop: () => void
}

const here: Worker = { run: runTask, stop: () => {} }

function startWorker(): Worker {
  const child = fork(new URL('worker.ts', import.meta.url))
  const died = once(child, 'exit').then(([code]): never => {
    throw new Error(`a worker ended with ${code}`)
  })
  // Also when it ends because it was told to, with nobody waiting any more.
  died.catch(() => {})
  const run = async (task: Task): Promise<TaskResult> => {
    child.send(task)
    const [result] = (await Promise.race([once(child, 'message'), died])) as [TaskResult]
    return result
  }
  return { run, stop: () => child.disconnect() }
}
