import { expect, test } from 'vitest'
import { MeshError } from '#protocol/errors'
import { Capture } from '#test/fake-terminal'
import { failureText } from './failure.ts'
import { counted, durationText, formatFor, printable, tableText } from './output.ts'

const pipe = new Capture(false)

test('a table has aligned columns and no blanks at line ends', () => {
  const rows = [
    { name: 'oak', lag: 0 },
    { name: 'old-elm', lag: 12 },
  ]
  const columns = [
    { title: 'peer', of: (row: (typeof rows)[0]) => row.name, style: () => 'bold' as const },
    { title: 'lag', of: (row: (typeof rows)[0]) => row.lag },
  ]
  expect(tableText(pipe, rows, columns)).toBe('PEER     LAG\noak      0\nold-elm  12\n')
})

test('people get tables, pipes get JSON, and who asks gets what was asked for', () => {
  expect([formatFor(new Capture(true), undefined), formatFor(pipe, undefined), formatFor(pipe, 'table')]).toEqual([
    'table',
    'json',
    'table',
  ])
})

test.each([
  [0.4, '0ms'],
  [850, '850ms'],
  [3_210, '3.2s'],
  [250_000, '4m 10s'],
  [7_380_000, '2h 3m'],
  [435_600_000, '5d 1h'],
])('%d ms reads %s', (ms, text) => {
  expect(durationText(ms)).toBe(text)
})

test('text of strangers cannot drive the terminal', () => {
  expect(printable('pears\u001b[2J\r\n\u009bx')).toBe('pears·[2J···x')
})

test('counts are readable', () => {
  expect([counted(1, 'record'), counted(26_583, 'record')]).toEqual(['1 record', '26,583 records'])
})

test('an error says its code, what happened, why and what to do, each once', () => {
  const error = new MeshError('TOPIC_NOT_FOUND', 'nobody has published to orders')
  expect(failureText(error, { debug: false })).toBe(
    'GRAPEVINE_TOPIC_NOT_FOUND: This peer does not know that topic. nobody has published to orders. ' +
      'Publish to it or PUT it first; a topic made elsewhere may not have arrived here yet.',
  )
  expect(failureText(new MeshError('LAB_DISABLED'), { debug: false })).toBe(
    'GRAPEVINE_LAB_DISABLED: This peer was started without --lab. Start the peer with --lab to cut its links.',
  )
})

test('a stack is shown only to who asks for it', () => {
  const error = new TypeError('x is not a function')
  expect(failureText(error, { debug: false })).toMatch(/^GRAPEVINE_INTERNAL: .*x is not a function/)
  expect(failureText(error, { debug: false })).not.toContain('output.test.ts')
  expect(failureText(error, { debug: true })).toContain('output.test.ts')
})
