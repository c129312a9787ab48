import { parseArgs } from 'node:util'
import { tableOf } from '../bench/figures.ts'
import { inRoom } from '../chaos/room.ts'
import type { Bound } from './beliefs.ts'
import { bulk } from './bulk.ts'
import { churn } from './churn.ts'
import { cuts } from './cuts.ts'
import { kills } from './kills.ts'
import { splits } from './splits.ts'
import { stops } from './stops.ts'
import { strangers } from './strangers.ts'

/**
 * What membership takes with real processes, a network namespace for each: how soon all know, and what is never believed.
 * Exits 1 when a bound of `docs/membership.md` is missed.
 *
 *   npm run membership -- kills [--rounds 20]       kill -9 of one of ten, and when all others know
 *   npm run membership -- cuts [--rounds 5]         one of ten gets and sends no packets any more
 *   npm run membership -- splits [--rounds 20]      two of five, for three times every timeout, and the heal
 *   npm run membership -- stops [--rounds 3]        SIGSTOP for 10 s under load
 *   npm run membership -- bulk [--seconds 60]       publishing as fast as it goes
 *   npm run membership -- churn [--minutes 30]      every 10 s one of eight goes or comes back; memory and handles of the others
 *   npm run membership -- strangers [--seconds 30]  who has no business here, and what healthy peers notice
 *
 * `--profile lan|wan|local`; each has a default of its own.
 */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    minutes: { type: 'string' },
    profile: { type: 'string' },
  },
})
const number = (text: string | undefined, otherwise: number): number => Number(text ?? otherwise)
const { profile } = values

const shows: Readonly<Record<string, () => Promise<readonly Bound[]>>> = {
  kills: () => kills(number(values.rounds, 20), profile),
  cuts: () => cuts(number(values.rounds, 5), profile),
  splits: () => splits(number(values.rounds, 20), profile),
  stops: () => stops(number(values.rounds, 3), profile),
  bulk: () => bulk(number(values.seconds, 60) * 1_000, profile),
  churn: () => churn(number(values.minutes, 30) * 60_000, profile),
  strangers: () => strangers(number(values.seconds, 30) * 1_000),
}

await inRoom('membership', { keep: undefined }, async () => {
  const [name = 'kills'] = positionals
  const show = shows[name]
  if (show === undefined) throw new Error(`there is no ${name}: ${Object.keys(shows).join(', ')}`)
  const bounds = await show()
  console.log(`\n${tableOf(bounds)}`)
  return bounds.every(({ isKept }) => isKept !== false) ? 0 : 1
})
