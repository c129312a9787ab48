import type { Dice } from '#test/sim/dice'
import { concat, mutated, randomBytes } from './bytes.ts'

/** Opcodes of RFC 6455 §5.2 that a client sends in earnest. */
export const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 }

export interface FuzzedFrame {
  readonly kind: 'valid' | 'hostile' | 'damaged text' | 'damaged frame' | 'odd frame' | 'random'
  readonly bytes: Uint8Array
}

/** A frame that a session outlives, whatever it says. */
export function civilFrame(dice: Dice): FuzzedFrame {
  const hostile = dice.chance(0.5)
  return { kind: hostile ? 'hostile' : 'valid', bytes: frameOf(dice, json(said(dice, hostile))) }
}

/** One that it may well not outlive. */
export function wildFrame(dice: Dice): FuzzedFrame {
  const how = dice.next()
  if (how < 0.4) return { kind: 'damaged text', bytes: frameOf(dice, mutated(json(said(dice, false)), dice)) }
  if (how < 0.6) return { kind: 'damaged frame', bytes: mutated(frameOf(dice, json(said(dice, false))), dice) }
  if (how < 0.9) return { kind: 'odd frame', bytes: odd(dice) }
  return { kind: 'random', bytes: randomBytes(dice, 512) }
}

const json = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value))

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

/** A text frame as RFC 6455 has it; now and then in fragments. */
function frameOf(dice: Dice, payload: Uint8Array): Uint8Array {
  if (dice.chance(0.9)) return encode(dice, { opcode: opcodes.text, payload })
  const cut = dice.whole(0, payload.length)
  return concat(
    encode(dice, { opcode: opcodes.text, payload: payload.subarray(0, cut), isLast: false }),
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
