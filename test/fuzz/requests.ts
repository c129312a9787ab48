import type { Dice } from '#test/sim/dice'
import { concat, mutated, randomBytes } from './bytes.ts'

/** What the peer has told, so that some requests are about things that exist. */
export interface Known {
  readonly cursors: string[]
  readonly ids: string[]
}

export interface FuzzedRequest {
  /** How it was made. */
  readonly kind: 'valid' | 'hostile' | 'damaged' | 'random' | 'pipelined'
  readonly bytes: Uint8Array
}

export function fuzzedRequest(dice: Dice, known: Known): FuzzedRequest {
  const how = dice.next()
  const made = (hostile: boolean): Uint8Array => new Requests(dice, known, hostile).any()
  if (how < 0.15) return { kind: 'valid', bytes: made(false) }
  if (how < 0.35) return { kind: 'hostile', bytes: made(true) }
  if (how < 0.85) return { kind: 'damaged', bytes: mutated(made(dice.chance(0.2)), dice) }
  if (how < 0.93) return { kind: 'random', bytes: randomBytes(dice, 8_192) }
  return { kind: 'pipelined', bytes: concat(made(false), mutated(made(true), dice)) }
}

/** Requests that a client could send; hostile ones with values where they hurt. */
class Requests {
  readonly #dice: Dice
  readonly #known: Known
  readonly #hostile: boolean
  readonly #topic: string

  constructor(dice: Dice, known: Known, hostile: boolean) {
    this.#dice = dice
    this.#known = known
    this.#hostile = hostile
    this.#topic = hostile && dice.chance(0.3) ? encoded(this.#text()) : `fuzz-${dice.whole(0, 30)}`
  }

  any(): Uint8Array {
    const makers = [
      () => this.#publish(),
      () => this.#publish(),
      () => this.#read(),
      () => this.#read(),
      () => this.#record(),
      () => this.#topics(),
      () => this.#view(),
      () => this.#odd(),
    ]
    return this.#dice.pick(makers)()
  }

  #publish(): Uint8Array {
    const dice = this.#dice
    const ack = this.#value('ack', ['local', 'n:1', 'majority', 'all', 'n:2'])
    const target = `${this.#records}?${ack}&${this.#value('wait', ['0', '1ms'])}`
    const [contentType, body] = dice.pick<() => [string, string]>([
      () => [dice.pick(['text/plain', 'application/octet-stream', 'image/png', this.#text()]), this.#text()],
      () => ['application/json', JSON.stringify({ pears: this.#text() })],
      () => ['application/json', JSON.stringify({ records: this.#batch() })],
      () => ['application/vnd.grapevine.records+json', JSON.stringify({ records: this.#batch() })],
      () => [
        'application/x-ndjson',
        this.#batch()
          .map((one) => `${JSON.stringify(one)}\n`)
          .join(''),
      ],
    ])()
    const own = dice.chance(0.2) ? [`record-key: ${this.#text()}`, `record-header-x: ${this.#text()}`] : []
    return this.#withBody(['POST', target, `content-type: ${contentType}`, ...own], body)
  }

  #batch(): object[] {
    const dice = this.#dice
    return Array.from({ length: dice.whole(this.#hostile ? 0 : 1, 20) }, () => ({
      value: this.#text(),
      ...(dice.chance(0.5) && { key: this.#text() }),
      ...(dice.chance(0.3) && { headers: { a: this.#text() } }),
    }))
  }

  #read(): Uint8Array {
    const dice = this.#dice
    const isKnown = this.#known.cursors.length > 0 && dice.chance(0.7)
    const start = isKnown ? dice.pick(this.#known.cursors) : dice.pick(['earliest', 'latest', this.#text()])
    const from = this.#value('from', [start])
    const [more, ...fields] = dice.pick<() => string[]>([
      () => [`${this.#value('limit', ['1', '100', '1000'])}&${this.#value('wait', ['0', '1ms'])}`],
      () => ['', 'accept: text/event-stream'],
      () => ['', 'accept: text/event-stream', `last-event-id: ${start}`],
      () => [this.#value('follow', ['true', 'false']), 'accept: application/x-ndjson'],
    ])()
    return this.#bodyless('GET', `${this.#records}?${from}${more === '' ? '' : `&${more}`}`, ...fields)
  }

  #record(): Uint8Array {
    const dice = this.#dice
    const id = this.#known.ids.length > 0 && dice.chance(0.8) ? dice.pick(this.#known.ids) : this.#text()
    if (dice.chance(0.3)) return this.#bodyless('GET', `${this.#records}/${id}/replication`)
    const accept = dice.pick(['*/*', 'application/octet-stream', this.#text()])
    return this.#bodyless('GET', `${this.#records}/${id}`, `accept: ${accept}`)
  }

  #topics(): Uint8Array {
    const dice = this.#dice
    const target = `/v1/topics/${this.#topic}`
    if (dice.chance(0.3)) return this.#withBody(['PUT', target], dice.pick(['', '{}', this.#text()]))
    return this.#bodyless(
      'GET',
      dice.pick([target, `${target}/status`, `/v1/topics?${this.#value('match', ['**', '*'])}`]),
    )
  }

  #view(): Uint8Array {
    return this.#bodyless(this.#dice.pick(['GET', 'HEAD']), this.#dice.pick(views))
  }

  #odd(): Uint8Array {
    const dice = this.#dice
    const methods = ['DELETE', 'GET', 'OPTIONS', 'PATCH', 'TRACE', 'CONNECT', 'QUERY']
    const upgrades = ['/v1/ws', '/', '//', '/v1/ws?x=1']
    return dice.pick<() => Uint8Array>([
      () => this.#bodyless(dice.pick(methods), dice.pick([...views, this.#records, '*', this.#text()])),
      () => this.#withBody(['PUT', '/v1/lab/partition'], JSON.stringify({ drop: [this.#text()] })),
      () => concat(this.#bodyless('GET', dice.pick(upgrades), ...handshake), randomBytes(dice, 256)),
    ])()
  }

  get #records(): string {
    return `/v1/topics/${this.#topic}/records`
  }

  #text(): string {
    return this.#dice.pick(this.#hostile && this.#dice.chance(0.5) ? nasty : harmless)
  }

  #value(name: string, good: readonly string[]): string {
    return `${name}=${encoded(this.#hostile && this.#dice.chance(0.3) ? this.#text() : this.#dice.pick(good))}`
  }

  #head(method: string, target: string, ...fields: readonly string[]): string[] {
    const more = this.#hostile ? [`${this.#dice.pick(fieldNames)}: ${this.#text()}`] : []
    return [`${method} ${target} HTTP/1.1`, 'host: localhost', ...fields, ...more]
  }

  #bodyless(method: string, target: string, ...fields: readonly string[]): Uint8Array {
    return lines(this.#head(method, target, ...fields))
  }

  #withBody([method = '', target = '', ...fields]: readonly string[], body: string): Uint8Array {
    return withBody(this.#dice, this.#head(method, target, ...fields), Buffer.from(body))
  }
}

function withBody(dice: Dice, head: readonly string[], body: Uint8Array): Uint8Array {
  if (dice.chance(0.6)) return concat(lines([...head, `content-length: ${body.length}`]), body)
  const chunks: Uint8Array[] = []
  for (let at = 0; at < body.length;) {
    const chunk = body.subarray(at, at + dice.magnitude(1, 1_000))
    chunks.push(Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from('\r\n'))
    at += chunk.length
  }
  return concat(lines([...head, 'transfer-encoding: chunked']), ...chunks, Buffer.from('0\r\n\r\n'))
}

const lines = (head: readonly string[]): Uint8Array => Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1')

const views = [
  '/healthz',
  '/readyz',
  '/version',
  '/metrics',
  '/v1/topics',
  '/v1/mesh/self',
  '/v1/mesh/members',
  '/v1/mesh/members/oak',
  '/v1/mesh/gossip',
  '/v1/mesh/links',
  '/v1/lab/partition',
]

const handshake = [
  'connection: upgrade',
  'upgrade: websocket',
  'sec-websocket-version: 13',
  'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==',
  'sec-websocket-protocol: grapevine.v1.json',
]

const fieldNames = [
  'content-length',
  'transfer-encoding',
  'content-encoding',
  'content-type',
  'connection',
  'expect',
  'host',
  'accept',
  'range',
  'upgrade',
  'record-key',
  'record-header-__proto__',
  'cookie',
  'x'.repeat(300),
]

const harmless = ['pears', 'ten pears', '{"pears":3}', 'käse', '0']

const nasty = [
  '',
  '-1',
  '1e999',
  '9'.repeat(400),
  '\u0000',
  '../../etc/passwd',
  '%00',
  '%zz',
  '%c0%ae',
  '__proto__',
  'constructor',
  '"',
  '{"records":',
  '{"records":[]}',
  '['.repeat(2_000),
  '\ud800',
  '\u202e',
  'null',
  'true',
  '{"value":{"__proto__":{"a":1}}}',
  'gv1.AAAA',
  `gv1.${'A'.repeat(3_000)}`,
  'a.b.0',
  'oak.0000000000000001.99999999999999999999',
  'n:99999999999999999999',
  '100-continue',
  'chunked, chunked',
  'h2c',
  'x'.repeat(20_000),
  'text/event-stream; q=0',
]

/** Half a surrogate pair has no bytes that a URL could say. */
const encoded = (text: string): string => encodeURIComponent(text.toWellFormed())
