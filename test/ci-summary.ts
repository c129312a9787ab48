// Sums up what `.ci/run` did: `node test/ci-summary.ts <folder>`, where each step left `<name>.exit`, what it said as `<name>.log`
// and, if it is a suite of vitest, its JSON report `<name>.json`. The last line is `N passed, N failed`; exits 1 on any failure or when nothing ran.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Step {
  readonly name: string
  readonly exitCode: number
  /** What a suite counted; a step without a report (format, lint, types) is one check of its own. */
  readonly report?: Report
  /** Standard output and errors. */
  readonly log?: string
}

interface Report {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly testResults?: readonly FileReport[]
}

interface FileReport {
  readonly name: string
  readonly status: string
  readonly message: string
  readonly assertionResults: readonly {
    readonly fullName: string
    readonly status: string
    readonly failureMessages: readonly string[]
  }[]
}

export interface Sum {
  readonly passed: number
  readonly failed: number
}

/** A suite that fails without a failed test (a file that does not load, nothing found, killed) still counts as one failure. */
export function sumOf({ exitCode, report }: Step): Sum {
  if (report === undefined) return exitCode === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 }
  const failed = exitCode === 0 ? report.numFailedTests : Math.max(1, report.numFailedTests)
  return { passed: report.numPassedTests, failed }
}

export const total = (steps: readonly Step[]): Sum =>
  steps.map(sumOf).reduce((a, b) => ({ passed: a.passed + b.passed, failed: a.failed + b.failed }), {
    passed: 0,
    failed: 0,
  })

const firstLineOf = (text = ''): string => text.split('\n', 1)[0] as string

const lastLinesMax = 40

/**
 * What failed and why: a line for each test of a suite, the last lines of any other step. The log of a run is long, and only
 * its end may be kept.
 */
export const failuresOf = ({ exitCode, report, log = '' }: Step): readonly string[] => {
  const failures = failedTestsIn(report)
  return exitCode === 0 || failures.length > 0 ? failures : log.trimEnd().split('\n').slice(-lastLinesMax)
}

const failedTestsIn = (report?: Report): readonly string[] =>
  (report?.testResults ?? []).flatMap(({ name, status, message, assertionResults }) => {
    const failed = assertionResults.filter((result) => result.status === 'failed')
    // A file that does not load has no tests.
    if (failed.length === 0) return status === 'failed' ? [`${name}: ${firstLineOf(message)}`] : []
    return failed.map(({ fullName, failureMessages }) => `${name}: ${fullName}: ${firstLineOf(failureMessages[0])}`)
  })

function stepsIn(folder: string): readonly Step[] {
  const names = readdirSync(folder).flatMap((file) => (file.endsWith('.exit') ? [file.slice(0, -'.exit'.length)] : []))
  return names.map((name) => {
    const read = (suffix: string): string | undefined => {
      const file = join(folder, `${name}.${suffix}`)
      return existsSync(file) ? readFileSync(file, 'utf8') : undefined
    }
    const [report, log] = [read('json'), read('log')]
    return {
      name,
      exitCode: Number(read('exit')),
      ...(report === undefined ? {} : { report: JSON.parse(report) as Report }),
      ...(log === undefined ? {} : { log }),
    }
  })
}

if (import.meta.main) {
  const steps = stepsIn(process.argv[2] ?? '.tmp/ci')
  for (const step of steps) {
    const { passed, failed } = sumOf(step)
    console.log(`${step.name.padEnd(12)} ${passed} passed, ${failed} failed`)
    for (const failure of failuresOf(step)) console.log(`  ${failure}`)
  }
  const { passed, failed } = total(steps)
  console.log(`${passed} passed, ${failed} failed`)
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0
}
