import type { Dice } from '#test/sim/dice'

/** Bytes made worse: what a faulty wire, a faulty sender and a hostile one do to them. */
export function mutated(bytes: Uint8Array, dice: Dice): Uint8Array {
  let result = bytes
  for (let times = dice.whole(1, 3); times > 0; times--) result = dice.pick(mutations)(result, dice)
  return result
}

export function randomBytes(dice: Dice, lengthMax: number): Uint8Array {
  const bytes = new Uint8Array(dice.magnitude(1, lengthMax))
  for (let i = 0; i < bytes.length; i++) bytes[i] = dice.whole(0, 255)
  return bytes
}

export const concat = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts))

type Mutation = (bytes: Uint8Array, dice: Dice) => Uint8Array

const place = (bytes: Uint8Array, dice: Dice): number => dice.whole(0, Math.max(0, bytes.length - 1))

const flipBit: Mutation = (bytes, dice) => {
  const result = bytes.slice()
  const at = place(bytes, dice)
  result[at] = (result[at] ?? 0) ^ (1 << dice.whole(0, 7))
  return result
}

/** Bytes that mean something to somebody. */
const meaningful = [
  0x00, 0x0a, 0x0d, 0x20, 0x22, 0x25, 0x2c, 0x2d, 0x2f, 0x30, 0x39, 0x3a, 0x5b, 0x5c, 0x7b, 0x7d, 0x7f, 0x80, 0xff,
]

const replaceByte: Mutation = (bytes, dice) => {
  const result = bytes.slice()
  result[place(bytes, dice)] = dice.pick(meaningful)
  return result
}

const truncate: Mutation = (bytes, dice) => bytes.slice(0, place(bytes, dice))

const removeSome: Mutation = (bytes, dice) => {
  const at = place(bytes, dice)
  return concat(bytes.subarray(0, at), bytes.subarray(at + dice.magnitude(1, 64)))
}

const insertSome: Mutation = (bytes, dice) => {
  const at = place(bytes, dice)
  return concat(bytes.subarray(0, at), randomBytes(dice, 64), bytes.subarray(at))
}

const repeatSome: Mutation = (bytes, dice) => {
  const at = place(bytes, dice)
  const piece = bytes.subarray(at, at + dice.magnitude(1, 256))
  const copies = Array.from({ length: dice.magnitude(1, 32) }, () => piece)
  return concat(bytes.subarray(0, at), ...copies, bytes.subarray(at))
}

const mutations: readonly Mutation[] = [flipBit, replaceByte, truncate, removeSome, insertSome, repeatSome]
