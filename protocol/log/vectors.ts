import type { Epoch, Hash, PeerId, TopicId } from '#protocol/ids'
import { utf8 } from '#protocol/text'
import type { CursorState } from './cursor.ts'
import type { Opening } from './feed.ts'
import type { Hlc } from './hybrid-clock.ts'
import type { LogRecord } from './record.ts'
import type { WriterHash } from './version-vector.ts'

/**
 * Examples of every format of this folder as hex, for other implementations: see README.md, which shows the same ones.
 * A change here is a change of what is on disk and on the wire.
 */
export const recordVectors: readonly { readonly name: string; readonly record: LogRecord; readonly hex: string }[] = [
  {
    name: 'a value alone',
    record: { value: utf8('hi'), headers: {} },
    hex: '0000000800006869',
  },
  {
    name: 'everything',
    record: {
      key: utf8('k1'),
      value: utf8('hi'),
      headers: { 'content-type': 'text/plain' },
      timestampMs: 1_700_000_000_000,
      producer: { id: Uint8Array.from({ length: 16 }, (_, i) => i), epoch: 1, seq: 7 },
    },
    hex: '00000048070100026b31018bcfe56800000102030405060708090a0b0c0d0e0f000000010000000000000007000c636f6e74656e742d74797065000a746578742f706c61696e6869',
  },
]

const oak = '12D3KooWoak' as PeerId
const firstRun = '0000000000000001' as Epoch
const secondRun = '0000000000000002' as Epoch

export const openingVectors: readonly {
  readonly name: string
  readonly opening: Opening
  readonly hlc: Hlc
  readonly hex: string
  readonly hash: Hash
}[] = [
  {
    name: 'first run of oak',
    opening: { topic: 'orders', generation: 0, writer: oak, epoch: firstRun },
    hlc: { ms: 1_700_000_000_000, counter: 0 },
    hex: '34f6b4f44756010100000062000000000000000000000000018bcfe56800000033f056a470eae18c1aa369c035cdcd7d45fdfa41e03ec5e4c40bd1c93f6e4aa10000066f7264657273000000000b313244334b6f6f576f616b000000000000000100',
    hash: '27dec541238eda1d0239463eb5ef7035f45d1b55094ddb5659741ec7aebfeb49' as Hash,
  },
  {
    name: 'second run of oak, which goes on at offset 2',
    opening: {
      topic: 'orders',
      generation: 0,
      writer: oak,
      epoch: secondRun,
      predecessor: {
        epoch: firstRun,
        nextOffset: 2,
        hash: 'de19ff9df05815f5afe6937cdd3f60f3b6601b6a0dd0636db6c2b1ac6f0518ec' as Hash,
      },
    },
    hlc: { ms: 1_700_000_060_000, counter: 0 },
    hex: '46d9a2a54756010100000092000000000000000200000000018bcfe65260000078e7d773afdbad2d860867e431eccdb9fd76c8632ec4972b3581541f18d0a6660000066f7264657273000000000b313244334b6f6f576f616b00000000000000020100000000000000010000000000000002de19ff9df05815f5afe6937cdd3f60f3b6601b6a0dd0636db6c2b1ac6f0518ec',
    hash: 'e188bfcd66ff74c10166a02faa49a14cf046f9086995b4e189b7518376ea2d51' as Hash,
  },
]

/** The batch after the first opening; its records are those of `recordVectors`. */
export const batchVector = {
  name: 'both records above, after the first opening',
  hlc: { ms: 1_700_000_000_000, counter: 1 },
  hex: '72b63a7547560100000000b6000000000000000000000002018bcfe56800000127dec541238eda1d0239463eb5ef7035f45d1b55094ddb5659741ec7aebfeb490001000102030405060708090a0b0c0d0e0f0000000100000000000000070000000100000001000000080000686900000048070100026b31018bcfe56800000102030405060708090a0b0c0d0e0f000000010000000000000007000c636f6e74656e742d74797065000a746578742f706c61696e6869',
  hash: 'de19ff9df05815f5afe6937cdd3f60f3b6601b6a0dd0636db6c2b1ac6f0518ec' as Hash,
}

export const cursorVector: { readonly name: string; readonly state: CursorState; readonly text: string } = {
  name: 'one record of that batch read',
  state: {
    topicId: '00112233445566778899aabbccddeeff' as TopicId,
    sinceHlc: { ms: 0, counter: 0 },
    entries: [{ writer: 'f8dc335427c34e50' as WriterHash, epoch: firstRun, nextOffset: 1, hashPrefix: '27dec541' }],
  },
  text: 'gv1.ABEiM0RVZneImaq7zN3u_wAAAAAAAAAA-NwzVCfDTlAAAAAAAAAAAQAAAAAAAAABJ97FQaonwKI',
}
