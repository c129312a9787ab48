/** MurmurHash3_x86_32 of ASCII text, as Appleby's reference has it. Spreads well; protects nothing. */
export function murmur3(text: string, seed: number): number {
  let hash = seed
  const whole = text.length - (text.length % 4)
  for (let i = 0; i < whole; i += 4) {
    hash ^= scrambled(wordAt(text, i, 4))
    hash = Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64
  }
  hash ^= scrambled(wordAt(text, whole, text.length - whole)) ^ text.length
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

function wordAt(text: string, at: number, count: number): number {
  let word = 0
  for (let i = 0; i < count; i++) word |= text.charCodeAt(at + i) << (8 * i)
  return word
}

function scrambled(word: number): number {
  const mixed = Math.imul(word, 0xcc9e2d51)
  return Math.imul((mixed << 15) | (mixed >>> 17), 0x1b873593)
}
