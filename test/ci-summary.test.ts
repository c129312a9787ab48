// What the last line of `.ci/run` counts.
import { expect, test } from 'vitest'
import { failuresOf, sumOf, total } from './ci-summary.ts'

const report = (numPassedTests: number, numFailedTests: number) => ({ numPassedTests, numFailedTests })

test('suites are summed test by test, other steps count as one', () => {
  const steps = [
    { name: 'lint', exitCode: 0 },
    { name: 'types', exitCode: 2 },
    { name: 'test', exitCode: 1, report: report(90, 2) },
    { name: 'heavy', exitCode: 0, report: report(7, 0) },
  ]
  expect(total(steps)).toEqual({ passed: 98, failed: 3 })
})

test('a suite that fails without a failed test is a failure', () => {
  expect(sumOf({ name: 'test', exitCode: 1, report: report(90, 0) })).toEqual({ passed: 90, failed: 1 })
  expect(sumOf({ name: 'test', exitCode: 137 })).toEqual({ passed: 0, failed: 1 })
})

test('nothing is not a success', () => {
  expect(total([])).toEqual({ passed: 0, failed: 0 })
})

test('what failed is named with the reason, and so is a file that does not load', () => {
  const failed = { fullName: 'figs ripen', status: 'failed', failureMessages: ['Error: green\n  at fig.ts'] }
  const passed = { fullName: 'pears ripen', status: 'passed', failureMessages: [] }
  const testResults = [
    { name: 'fruit.test.ts', status: 'failed', message: '', assertionResults: [passed, failed] },
    { name: 'nuts.test.ts', status: 'failed', message: 'SyntaxError: shell\nat nuts.ts', assertionResults: [] },
    { name: 'roots.test.ts', status: 'passed', message: '', assertionResults: [passed] },
  ]
  expect(failuresOf({ name: 'test', exitCode: 1, report: { ...report(2, 1), testResults } })).toEqual([
    'fruit.test.ts: figs ripen: Error: green',
    'nuts.test.ts: SyntaxError: shell',
  ])
})

test('a step without a report shows its last lines when it fails', () => {
  const lines = Array.from({ length: 100 }, (_, index) => `line ${index}`)
  const log = `${lines.join('\n')}\n`
  expect(failuresOf({ name: 'chaos', exitCode: 1, log })).toEqual(lines.slice(-40))
  expect(failuresOf({ name: 'chaos', exitCode: 0, log })).toEqual([])
  expect(failuresOf({ name: 'chaos', exitCode: 137 })).toEqual([''])
})
