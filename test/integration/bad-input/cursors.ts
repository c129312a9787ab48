import { encodeCursor } from '#protocol/log/cursor'
import { writerHashOf } from '#protocol/log/version-vector'
import { type Epoch, type PeerId, topicIdOf } from '#protocol/ids'
import { nodeDigests } from '#node/node-digests'
import { ask, post, type BadInput } from './bad-input.ts'
import { eventually, type ProcessPeer } from '../process-peer.ts'

async function cursorAfter(oak: ProcessPeer, topic: string, value: string): Promise<string> {
  const answer = await fetch(`${oak.http}/v1/topics/${topic}/records`, post(value))
  return ((await answer.json()) as { cursor: string }).cursor
}

const read = (oak: ProcessPeer, topic: string, cursor: string, more = ''): Promise<string> =>
  ask(oak, `/v1/topics/${topic}/records?from=${encodeURIComponent(cursor)}${more}`)

/** A cursor of this topic at an offset that its feed does not have yet. */
async function futureCursor(oak: ProcessPeer, topic: string, offset: number): Promise<string> {
  const { epoch } = (await (await fetch(`${oak.http}/v1/mesh/self`)).json()) as { epoch: string }
  const topicId = topicIdOf(nodeDigests, { cluster: 'grapevine', name: topic, generation: 0 })
  const writer = writerHashOf(oak.peerId as PeerId, nodeDigests)
  const entry = { writer, epoch: epoch as Epoch, nextOffset: offset, hashPrefix: 'c0ffee00' }
  return encodeCursor({ topicId, sinceHlc: { ms: 0, counter: 0 }, entries: [entry] }, nodeDigests)
}

async function valuesFrom(peer: ProcessPeer, topic: string, from: string): Promise<string> {
  const answer = await fetch(`${peer.http}/v1/topics/${topic}/records?from=${encodeURIComponent(from)}`)
  const { records = [] } = (await answer.json()) as Partial<Page>
  return records.map(({ value }) => value).join()
}

interface Page {
  readonly records: readonly { readonly value: string; readonly offset: number }[]
  readonly cursor: string
  readonly upToDate: boolean
}

export const badCursors: readonly BadInput[] = [
  {
    input: 'the cursor of another topic',
    named: /^CURSOR_INVALID 400: The cursor belongs to another topic/,
    give: async (oak) => {
      await cursorAfter(oak, 'orders', 'x')
      return read(oak, 'orders', await cursorAfter(oak, 'invoices', 'x'))
    },
  },
  {
    input: 'a damaged cursor, at each of its characters',
    named: /^(CURSOR_INVALID 400: The cursor (is damaged|belongs to another topic)\.\n)+$/,
    give: async (oak) => {
      const cursor = await cursorAfter(oak, 'orders', 'x')
      const damaged = Array.from(
        { length: cursor.length },
        (_, i) => `${cursor.slice(0, i)}${cursor[i] === 'A' ? 'B' : 'A'}${cursor.slice(i + 1)}`,
      )
      const said = []
      for (const text of [...damaged, cursor.slice(0, -1), `${cursor}A`, 'gv1.', ''])
        said.push(await read(oak, 'orders', text))
      return `${said.join('\n')}\n`
    },
  },
  {
    input: 'a cursor beyond what the peer holds',
    named: /^waits at its place, not before it; then: CURSOR_INVALID 400: .*another history/,
    give: async (oak) => {
      await cursorAfter(oak, 'future', 'held')
      const future = await futureCursor(oak, 'future', 3)
      const pages: Page[] = []
      for (const value of ['second', 'third']) {
        pages.push(JSON.parse((await read(oak, 'future', future)).slice(4)) as Page)
        await cursorAfter(oak, 'future', value)
      }
      const isPatient = pages.every(
        ({ records, cursor, upToDate }) => records.length === 0 && upToDate && cursor === future,
      )
      // Its place has come, and its hash is not that of our history: told, rather than read from there.
      return `${isPatient ? 'waits at its place, not before it' : JSON.stringify(pages)}; then: ${await read(oak, 'future', future)}`
    },
  },
  {
    input: 'a cursor of what only the other side of a split holds',
    named: /^reads here, which is new to it; after the heal here,after$/,
    give: async (oak, { elm }) => {
      await cursorAfter(oak, 'shared', 'before')
      await eventually('elm has it', async () => (await valuesFrom(elm, 'shared', 'earliest')) === 'before')
      await oak.client.lab.drop(['elm'])
      const cursor = await cursorAfter(elm, 'shared', 'there')
      await cursorAfter(oak, 'shared', 'here')
      const cutOff = await valuesFrom(oak, 'shared', cursor)
      await oak.client.lab.heal()
      await cursorAfter(elm, 'shared', 'after')
      // Neither `before` nor `there`: the cursor has been there.
      await eventually('oak has all', async () => (await valuesFrom(oak, 'shared', 'earliest')).endsWith('after'))
      return `reads ${cutOff}, which is new to it; after the heal ${await valuesFrom(oak, 'shared', cursor)}`
    },
  },
  {
    input: 'a cursor longer than any',
    named: /^CURSOR_INVALID 400: The cursor is longer than any that a peer gives/,
    give: (oak) => read(oak, 'orders', `gv1.${'A'.repeat(200_000)}`),
  },
]
