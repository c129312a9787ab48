// Which publishes share a message: a table of what stands in line, and what goes together.
import { expect, test } from 'vitest'
import { Outbox, type OutboxItem } from './outbox.ts'

const item = (text: string, terms: Partial<OutboxItem['terms']> = {}, bytes = 100) => ({
  text,
  terms: { topic: 'orders', ...terms },
  records: [{ value: text, contentType: 'text/plain' }],
  bytes,
})

type Item = ReturnType<typeof item>

function messagesOf(items: readonly Item[]): string[] {
  const outbox = new Outbox<Item>()
  for (const one of items) outbox.add(one)
  const messages: string[] = []
  while (!outbox.isEmpty)
    messages.push(
      outbox
        .take()
        .map(({ text }) => text)
        .join(' '),
    )
  return messages
}

test.each([
  ['all of a topic', [item('a'), item('b'), item('c')], ['a b c']],
  [
    'topics in turns',
    [item('a'), item('x', { topic: 'bills' }), item('b'), item('y', { topic: 'bills' })],
    ['a b', 'x y'],
  ],
  ['no further than they are to be answered alike', [item('a'), item('b', { ack: 'all' }), item('c')], ['a', 'b', 'c']],
  ['nothing with a key', [item('a', { idempotencyKey: 'k' }), item('b', { idempotencyKey: 'k' })], ['a', 'b']],
  ['64 KiB', [item('a', {}, 40_000), item('b', {}, 20_000), item('c', {}, 10_000)], ['a b', 'c']],
  ['one that is larger', [item('a', {}, 1_000_000), item('b')], ['a', 'b']],
])('what shares a message: %s', (_, items, messages) => {
  expect(messagesOf(items)).toEqual(messages)
})

test('a topic with more than one message lets the others go before its next', () => {
  const large = ['a', 'b', 'c'].map((text) => item(text, {}, 60_000))
  expect(messagesOf([...large, item('x', { topic: 'bills' })])).toEqual(['a', 'x', 'b', 'c'])
})

test('it knows when a whole message stands in line, and forgets what was taken out', () => {
  const outbox = new Outbox<Item>()
  const [a, b] = [item('a', {}, 40_000), item('b', {}, 40_000)]
  outbox.add(a)
  expect(outbox.hasFull).toBe(false)
  outbox.add(b)
  expect(outbox.hasFull).toBe(true)
  outbox.delete(a)
  outbox.delete(a)
  expect(outbox.hasFull).toBe(false)
  expect(outbox.take()).toEqual([b])
  expect(outbox.isEmpty).toBe(true)
})
