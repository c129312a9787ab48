import { SeededRandom } from '#protocol/random'

/** Letters to cut values from: what a value says follows from its name, so every byte of it can be checked. */
const letters = lettersOf(new SeededRandom(7), 64 * 1024)
const lengthMax = 240
/** Now and then a long one, so that not all records of a batch are alike. */
const longEvery = 997
const longLength = 20_000

/** The value of a record: `<writer> <seq> <letters>`, some 140 bytes on average. A writer's name has no spaces. */
export function valueOf(writer: string, seq: number): string {
  const mixed = mix(writer, seq)
  const length = seq % longEvery === longEvery - 1 ? longLength : mixed % lengthMax
  const start = mixed % (letters.length - longLength)
  return `${writer} ${seq} ${letters.slice(start, start + length)}`
}

/** Whose record this is, or undefined if these are not the bytes that a writer makes. */
export function nameOf(value: string): { readonly writer: string; readonly seq: number } | undefined {
  const [, writer = '', digits = ''] = /^(\S+) (\d{1,15}) /.exec(value) ?? []
  const seq = Number(digits)
  return writer !== '' && value === valueOf(writer, seq) ? { writer, seq } : undefined
}

/** FNV-1a of the writer, then one round of murmur's finalizer. */
function mix(writer: string, seq: number): number {
  let hash = 0x811c9dc5 ^ seq
  for (let i = 0; i < writer.length; i++) hash = Math.imul(hash ^ writer.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  return (hash ^ (hash >>> 13)) >>> 0
}

function lettersOf(random: SeededRandom, count: number): string {
  const codes = Array.from({ length: count }, () => 97 + Math.floor(random.next() * 26))
  return codes.map((code) => String.fromCharCode(code)).join('')
}
