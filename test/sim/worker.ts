import { runTask } from './tasks.ts'
import type { Task } from './tasks.ts'

// Runs one task after the other for `jobs.ts`, and ends when that disconnects.
process.on('message', (task: Task) => {
  void runTask(task).then((result) => process.send?.(result))
})
