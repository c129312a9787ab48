// Goal: who is apart from whom, and for how long. Method: scenarios of a few steps, done a little late.
import { expect, test } from 'vitest'
import { parseScenario } from './scenario.ts'
import { timesApart } from './sides.ts'

const apart = (peers: string, ...steps: string[]) => {
  const list = steps.map((step, i) => `  - { at: ${i + 1}s, ${step} }`).join('\n')
  const scenario = parseScenario(`name: sample\nabout: a sample\npeers: ${peers}\nsteps:\n${list}\nend: 9s`)
  const doneAtMs = steps.map((_, i) => (i + 1) * 1_000 + 7)
  return timesApart(scenario, doneAtMs, 9_000).map(({ fromMs, toMs, sides }) => [
    fromMs,
    toMs,
    sides.map((side) => side.join()).join(' / '),
  ])
}

test.each([
  {
    what: 'a split, until it heals',
    steps: ["split: 'oak,elm / ash,fir'", 'heal: all'],
    sides: [[1_007, 2_007, 'oak,elm / ash,fir']],
  },
  {
    what: 'a split, until the end',
    steps: ["split: 'oak / elm,ash,fir'"],
    sides: [[1_007, 9_000, 'oak / elm,ash,fir']],
  },
  { what: 'a bridge joins both sides', steps: ["split: 'oak,elm / fir'", 'heal: all'], sides: [] },
  {
    what: 'who hears nobody is alone',
    steps: ["cut: 'elm,ash,fir -> oak'", 'heal: all'],
    sides: [[1_007, 2_007, 'oak / elm,ash,fir']],
  },
  { what: 'one direction of one link is bridged by others', steps: ["cut: 'elm -> oak'", 'heal: all'], sides: [] },
  {
    what: 'a second cut divides a side',
    steps: ["split: 'oak,elm / ash,fir'", "split: 'ash / fir'", 'heal: all'],
    sides: [
      [1_007, 2_007, 'oak,elm / ash,fir'],
      [2_007, 3_007, 'oak,elm / ash / fir'],
    ],
  },
  {
    what: 'loss of everything is a cut, less is none',
    steps: ["link: 'oak <-> elm', loss: 1", "link: 'oak <-> elm', loss: 0.5"],
    peers: 'oak,elm',
    sides: [[1_007, 2_007, 'oak / elm']],
  },
  {
    what: 'who joins is on the side that it can reach',
    steps: ["split: 'oak / elm,ash,fir'", 'join: fir', 'heal: all'],
    sides: [
      [1_007, 2_007, 'oak / elm,ash'],
      [2_007, 3_007, 'oak / elm,ash,fir'],
    ],
  },
])('$what', ({ steps, sides, peers = 'oak,elm,ash,fir' }) => {
  expect(apart(peers, ...steps)).toEqual(sides)
})
