import { connect } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { errorCatalogue } from '#protocol/errors'
import { Dice } from '#test/sim/dice'
import type { FuzzOrder, FuzzReport } from './finding.ts'
import { fuzzedRequest, type FuzzedRequest, type Known } from './requests.ts'
import { type PeerUnderFire, underFire } from './under-fire.ts'

const clients = 48
/**
 * A request that is cut in the middle has no answer before its time is up, so its client closes before that, and then it is
 * over; a whole one has its answer. Both may take long on a machine that has much else to do.
 */
const patienceMs = { end: 60_000, broken: 50 }
const silence = 'silence'
/** Requests between two that must be served. */
const serveEvery = 2_000
const topicsKnown = 31

/**
 * Requests, damaged requests and random bytes against a real peer in its own process. It must stay up, give every refusal
 * a name of the catalogue other than INTERNAL, and go on serving, all in a small heap.
 */
export const fuzzHttp = ({ seed, count, seconds }: FuzzOrder): Promise<FuzzReport> =>
  underFire({ target: 'http', seconds }, (under) => {
    const fuzz = new HttpFuzz(seed, under)
    return under.endure(() => fuzz.run(count))
  })

class HttpFuzz {
  readonly #seed: number
  readonly #under: PeerUnderFire
  readonly #known: Known = { cursors: [], ids: [] }
  #next = 0

  constructor(seed: number, under: PeerUnderFire) {
    this.#seed = seed
    this.#under = under
  }

  /** Returns how many there were. */
  async run(count: number): Promise<number> {
    await this.#learn()
    await Promise.all(Array.from({ length: clients }, () => this.#client(count)))
    return this.#next
  }

  /** Cursors and ids for requests to ask for. */
  async #learn(): Promise<void> {
    for (let topic = 0; topic < topicsKnown; topic++) {
      const { ids, cursor } = await this.#under.peer.client.publishMany(`fuzz-${topic}`, [{ value: 'pears' }])
      this.#known.ids.push(...ids)
      this.#known.cursors.push(cursor)
    }
  }

  async #client(count: number): Promise<void> {
    while (this.#next < count && !this.#under.hasEnough) {
      const index = this.#next++
      // Each request follows from the seed and its number alone, as far as the peer's own words allow.
      const dice = new Dice(this.#seed, `request ${index}`)
      const request = fuzzedRequest(dice, this.#known)
      this.#check(index, request, await this.#answer(request, dice))
      if (index % serveEvery === 0) await this.#under.serve()
    }
  }

  /** The first bytes of an answer; `silence` if the socket stays open without one, empty if it is closed without one. */
  async #answer({ kind, bytes }: FuzzedRequest, dice: Dice): Promise<string> {
    const { hostname, port } = new URL(this.#under.peer.http)
    const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
    const leave = dice.next()
    const isWhole = kind === 'valid' || kind === 'hostile'
    const answered = new Promise<string>((resolve) => {
      socket.on('error', () => resolve(''))
      socket.on('data', (data) => resolve(data.toString()))
      socket.on('end', () => resolve(''))
      socket.on('close', () => resolve(''))
      setTimeout(() => resolve(silence), patienceMs.end).unref()
    })
    const cuts = dice.chance(0.2) ? [dice.whole(0, bytes.length), dice.whole(0, bytes.length)] : []
    let at = 0
    for (const cut of [...cuts.toSorted((a, b) => a - b), bytes.length]) {
      socket.write(bytes.subarray(at, cut))
      at = cut
      if (cuts.length > 0) await turn()
    }
    if (leave < 0.1) socket.resetAndDestroy()
    else if (leave < 0.4 && !isWhole) socket.end()
    const enough = isWhole ? undefined : setTimeout(() => socket.end(), patienceMs.broken)
    const answer = await answered
    clearTimeout(enough)
    socket.destroy()
    return answer
  }

  #check(index: number, { kind, bytes }: FuzzedRequest, answer: string): void {
    const { tally } = this.#under
    if (answer === '') return tally.add(`${kind}: closed`)
    const fault = faultOf(answer)
    if (fault !== undefined) return this.#under.found(index, fault, bytes)
    tally.add(`${kind}: ${statusOf(answer)} ${codeOf(answer) ?? ''}`)
  }
}

/** Whatever is refused has a name. */
function faultOf(answer: string): string | undefined {
  const told = answer.slice(0, 900)
  if (answer === silence) return 'no answer'
  if (statusOf(answer) === undefined) return `not HTTP: ${told}`
  if (Number(statusOf(answer)) < 400) return undefined
  if (!/^content-type: application\/problem\+json\r$/im.test(answer)) return `no problem: ${told}`
  // Nor does the answer to HEAD have a body.
  if (answer.endsWith('\r\n\r\n')) return undefined
  const code = codeOf(answer) ?? ''
  return code in errorCatalogue && code !== 'INTERNAL' ? undefined : `not named: ${told}`
}

const statusOf = (answer: string): string | undefined => /^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1]
const codeOf = (answer: string): string | undefined => /"code":"([A-Z_]+)"/.exec(answer)?.[1]
