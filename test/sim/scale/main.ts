import { parseArgs } from 'node:util'
import { rows } from './rows.ts'
import type { Effort } from './rows.ts'

const usage = `Measures how thousands of members find out who is there, on virtual time. Prints a table.

  npm run scale -- --members 10,100,1000     a column each

  --only crashes,news     of ${Object.keys(rows).join(', ')}
  --trials 100            crashes, or pieces of news, of a row
  --minutes 60            that nobody ends, in the rows of false deaths; fewer where there are many members
  --seed 1                of the first world of each row
  --links limited         by linksMax (64), as the peer has it; or all: every pair is linked
  --lost resent           what becomes of lost packets: resent, as TCP does it, or gone
`

const { values } = parseArgs({
  options: {
    members: { type: 'string' },
    only: { type: 'string', default: Object.keys(rows).join() },
    trials: { type: 'string', default: '100' },
    minutes: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
    links: { type: 'string', default: 'limited' },
    lost: { type: 'string', default: 'resent' },
    help: { type: 'boolean', default: false },
  },
})

/** An hour of a thousand members takes an hour. */
const quietMsMax = 600_000_000

function effortOf(members: number): Effort {
  const path = { links: oneOf(values.links, 'limited', 'all'), lostPackets: oneOf(values.lost, 'resent', 'gone') }
  const quietMs = Math.min(60_000 * Number(values.minutes), quietMsMax / members)
  return { members, trials: Number(values.trials), quietMs, seed: Number(values.seed), path }
}

function oneOf<Name extends string>(text: string, ...names: readonly Name[]): Name {
  const found = names.find((name) => name === text)
  if (found === undefined) throw new Error(`${text} is none of ${names.join(', ')}`)
  return found
}

function measure(efforts: readonly Effort[]): void {
  console.log(`| ${['', ...efforts.map(({ members }) => `N = ${members}`), 'aim at 1,000'].join(' | ')} |`)
  console.log(`|${'---|'.repeat(efforts.length + 2)}`)
  for (const { name, aim = '', cell } of values.only.split(',').flatMap((group) => rows[group] ?? [])) {
    const cells = efforts.map((effort) => {
      const startedMs = performance.now()
      const text = cell(effort)
      process.stderr.write(
        `${name}, N = ${effort.members}: ${text} (${Math.round(performance.now() - startedMs)} ms)\n`,
      )
      return text
    })
    console.log(`| ${[name, ...cells, aim].join(' | ')} |`)
  }
}

if (values.help || values.members === undefined) process.stderr.write(usage)
else measure(values.members.split(',').map((members) => effortOf(Number(members))))
process.exitCode = values.help || values.members !== undefined ? 0 : 2
