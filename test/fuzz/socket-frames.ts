import { encodeRecords } from '#protocol/log/record'
import { encodeBinaryHead } from '#protocol/wire/binary-frame'
import type { Dice } from '#test/sim/dice'
import { concat, mutated, randomBytes } from './bytes.ts'

/** Opcodes of RFC 6455 §5.2 that a client sends in earnest. */
export const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 }

export interface FuzzedFrame {
  readonly kind: 'valid' | 'hostile' | 'bytes' | 'hostile bytes' | 'damaged' | 'damaged frame' | 'odd frame' | 'random'
  readonly bytes: Uint8Array
}

/** A frame that a session outlives, whatever it says; `isBinary`: in `grapevine.v1.bin`. */
export function civilFrame(dice: Dice, isBinary: boolean): FuzzedFrame {
  const hostile = dice.chance(0.5)
  if (!isBinary || dice.chance(0.4)) {
    return { kind: hostile ? 'hostile' : 'valid', bytes: frameOf(dice, textOf(said(dice, hostile))) }
  }
  return { kind: hostile ? 'hostile bytes' : 'bytes', bytes: frameOf(dice, publishInBytes(dice, hostile)) }
}

/** One that it may well not outlive. */
export function wildFrame(dice: Dice, isBinary: boolean): FuzzedFrame {
  const how = dice.next()
  const message = isBinary && dice.chance(0.5) ? publishInBytes(dice, false) : textOf(said(dice, false))
  if (how < 0.4) {
    return { kind: 'damaged', bytes: frameOf(dice, { ...message, payload: mutated(message.payload, dice) }) }
  }
  if (how < 0.6) return { kind: 'damaged frame', bytes: mutated(frameOf(dice, message), dice) }
  if (how < 0.9) return { kind: 'odd frame', bytes: odd(dice) }
  return { kind: 'random', bytes: randomBytes(dice, 512) }
}

type Message = Pick<Frame, 'opcode' | 'payload'>

const textOf = (value: unknown): Message => ({ opcode: opcodes.text, payload: Buffer.from(JSON.stringify(value)) })

/** Records as bytes; hostile ones are damaged, or other than the header says. */
function publishInBytes(dice: Dice, hostile: boolean): Message {
  const or = <T>(good: T): T => (hostile && dice.chance(0.2) ? (dice.pick(nasty) as T) : good)
  const isNumbered = dice.chance(0.5)
  const producer = { id: new Uint8Array(16), epoch: 0, seq: 0 }
  const records = Array.from({ length: dice.whole(1, 5) }, (_, i) => ({
    value: randomBytes(dice, 50),
    headers: i % 2 === 0 ? { 'content-type': 'text/plain' } : {},
    ...(dice.chance(0.3) && { key: randomBytes(dice, 20) }),
    ...(isNumbered && { producer }),
  }))
  const set = encodeRecords(records)
  const head = encodeBinaryHead('publish', {
    ref: or(`n${dice.whole(0, 9)}`),
    topic: or(`fuzz-${dice.whole(0, 30)}`),
    count: or(hostile && dice.chance(0.2) ? dice.whole(0, 9) : set.count),
    ack: or('local'),
    wait: or('0s'),
    ...(isNumbered && { producer: or({ id: `p${dice.whole(0, 3)}`, seq: or(dice.whole(0, 5)) }) }),
  })
  const bytes = hostile && dice.chance(0.7) ? mutated(set.bytes, dice) : set.bytes
  return { opcode: opcodes.binary, payload: concat(head, bytes) }
}

function said(dice: Dice, hostile: boolean): unknown {
  const any = (): unknown => dice.pick(nasty)
  const or = (good: unknown): unknown => (hostile && dice.chance(0.3) ? any() : good)
  const name = (): unknown => or(`n${dice.whole(0, 9)}`)
  const topic = (): unknown => or(`fuzz-${dice.whole(0, 30)}`)
  const frame = dice.pick<() => object>([
    () => ({
      type: 'subscribe',
      sub: name(),
      topics: or([topic(), dice.pick(['fuzz-1', 'fuzz-**', '**'])]),
      from: or('earliest'),
      credit: or(dice.whole(0, 100)),
    }),
    () => ({ type: 'subscribe', sub: name(), topics: [topic()], from: or({ 'fuzz-1': 'gv1.AAAA' }), credit: or(1) }),
    () => ({ type: 'credit', sub: name(), n: or(dice.whole(1, 100)) }),
    () => ({ type: 'unsubscribe', sub: name() }),
    () => ({
      type: 'publish',
      ref: name(),
      topic: topic(),
      records: or([{ value: or('pears'), key: or('eu') }]),
      ack: or('local'),
      wait: or('0'),
    }),
    () => ({
      type: 'publish',
      ref: name(),
      topic: topic(),
      records: [{ valueBase64: or('/w=='), headers: or({ a: '1' }) }],
    }),
    () => ({ type: 'auth', token: or('x') }),
    () => ({ type: or('pears') }),
  ])()
  return hostile && dice.chance(0.1) ? { ...frame, [dice.pick(['__proto__', 'x', 'type'])]: any() } : frame
}

/** A message as RFC 6455 has it; now and then in fragments. */
function frameOf(dice: Dice, { opcode, payload }: Message): Uint8Array {
  if (dice.chance(0.9)) return encode(dice, { opcode, payload })
  const cut = dice.whole(0, payload.length)
  return concat(
    encode(dice, { opcode, payload: payload.subarray(0, cut), isLast: false }),
    ...(dice.chance(0.3) ? [encode(dice, { opcode: opcodes.ping, payload: randomBytes(dice, 100) })] : []),
    encode(dice, { opcode: opcodes.continuation, payload: payload.subarray(cut) }),
  )
}

/** Well-formed to the eye, and against the rules. */
function odd(dice: Dice): Uint8Array {
  const payload = randomBytes(dice, 300)
  return dice.pick<() => Uint8Array>([
    () => encode(dice, { opcode: dice.whole(0, 15), payload }),
    () => encode(dice, { opcode: opcodes.binary, payload }),
    () => encode(dice, { opcode: opcodes.text, payload }),
    () => encode(dice, { opcode: opcodes.text, payload, reserved: dice.whole(1, 7) }),
    () => encode(dice, { opcode: opcodes.text, payload, isMasked: false }),
    () => encode(dice, { opcode: opcodes.ping, payload: new Uint8Array(dice.whole(0, 200)) }),
    () => encode(dice, { opcode: opcodes.pong, payload: new Uint8Array(0) }),
    () => encode(dice, { opcode: opcodes.close, payload: closing(dice) }),
    () => encode(dice, { opcode: opcodes.text, payload, announced: dice.pick([0, 1, 2 ** 16, 2 ** 31, 2 ** 53]) }),
    () =>
      concat(
        ...Array.from({ length: 200 }, () =>
          encode(dice, { opcode: opcodes.text, payload: new Uint8Array(1), isLast: false }),
        ),
      ),
  ])()
}

/** With a code that a client may close with, or may not, and half a reason. */
function closing(dice: Dice): Uint8Array {
  const code = dice.pick([1000, 1001, 3000, 4999, 0, 999, 1005, 1006, 2999, 5000, 65_535])
  return Uint8Array.of(code >> 8, code & 255, 0xc3).subarray(0, dice.whole(0, 3))
}

interface Frame {
  readonly opcode: number
  readonly payload: Uint8Array
  readonly isLast?: boolean
  readonly isMasked?: boolean
  readonly reserved?: number
  /** Another length than it has. */
  readonly announced?: number
}

export function encode(
  dice: Dice,
  { opcode, payload, isLast = true, isMasked = true, reserved = 0, announced }: Frame,
): Uint8Array {
  const length = announced ?? payload.length
  const form = length < 126 ? length : length < 2 ** 16 ? 126 : 127
  const head = Buffer.alloc(form < 126 ? 2 : form === 126 ? 4 : 10)
  head[0] = (isLast ? 0x80 : 0) | (reserved << 4) | opcode
  head[1] = (isMasked ? 0x80 : 0) | form
  if (form === 126) head.writeUInt16BE(length, 2)
  if (form === 127) head.writeBigUInt64BE(BigInt(length), 2)
  if (!isMasked) return concat(head, payload)
  const mask = Uint8Array.from({ length: 4 }, () => dice.whole(0, 255))
  return concat(
    head,
    mask,
    payload.map((byte, i) => byte ^ (mask[i % 4] as number)),
  )
}

const nasty = [
  null,
  true,
  -1,
  0,
  1.5,
  1e300,
  2 ** 53,
  '',
  '-1',
  '__proto__',
  'x'.repeat(10_000),
  '\u0000',
  '**.a',
  '$topics',
  'gv1.AAAA',
  'n:99',
  '99999999s',
  [],
  {},
  [[]],
  [null],
  Array.from({ length: 100 }, (_, i) => `t${i}`),
  { a: { b: { c: {} } } },
  { __proto__: 'x' },
]
