import { expect, test } from 'vitest'
import { LabFilter } from './lab-filter.ts'
import { RecordingListener } from './test-peers.ts'
import { limits } from '#protocol/limits'
import { utf8 } from '#protocol/text'
import type { Transport } from '../driver-ports.ts'
import type { PeerId } from '#protocol/ids'

// Goal: a cut made by hand looks like silence, and its end like a fresh link. Method: a transport that notes its orders.

const elm = 'elm' as PeerId
const ash = 'ash' as PeerId
const word = utf8('word')

class TestClock {
  #nowMs = 0
  #timers: { atMs: number; run: () => void }[] = []

  nowMs(): number {
    return this.#nowMs
  }

  after(afterMs: number, run: () => void): void {
    this.#timers.push({ atMs: this.#nowMs + afterMs, run })
  }

  advance(ms: number): void {
    const untilMs = this.#nowMs + ms
    for (;;) {
      const [next] = this.#timers.toSorted((a, b) => a.atMs - b.atMs)
      if (next === undefined || next.atMs > untilMs) break
      this.#timers = this.#timers.filter((timer) => timer !== next)
      this.#nowMs = next.atMs
      next.run()
    }
    this.#nowMs = untilMs
  }
}

function setUp() {
  const orders: string[] = []
  const below: Transport = {
    dial: (target) => orders.push(`dial ${target.type === 'seed' ? target.address : target.peer}`),
    sendControl: (link) => orders.push(`control ${link}`),
    sendData: (link, _, written) => {
      orders.push(`data ${link}`)
      written()
    },
    close: (link, reason) => orders.push(`close ${link}: ${reason}`),
  }
  const listener = new RecordingListener()
  const clock = new TestClock()
  const chances: number[] = []
  const lab = new LabFilter(listener, { clock, random: { next: () => chances.shift() ?? 1 } })
  lab.attach(below)
  lab.linkUp(1, elm)
  lab.linkUp(2, ash)
  return { lab, listener, orders, clock, chances, texts: () => listener.all('control').map(({ text }) => text) }
}

test('frames from and to a dropped peer vanish, those of others pass', () => {
  const { lab, listener, orders } = setUp()
  lab.drop([elm])
  for (const link of [1, 2]) {
    lab.sendControl(link, word)
    lab.sendData(link, [word], () => orders.push(`written ${link}`))
    lab.controlFrame(link, word)
    lab.dataFrame(link, word)
  }
  expect(orders).toEqual(['control 2', 'data 2', 'written 2'])
  expect(listener.heard.map((fact) => fact.type)).toEqual(['linkUp', 'linkUp', 'control', 'data'])
})

test('the heal resets the links that lost frames, and only those', () => {
  const { lab, orders } = setUp()
  lab.drop([elm, ash])
  lab.controlFrame(1, word)
  lab.drop([])
  expect(orders).toEqual(['close 1: reset by the heal of lab mode'])
})

test('a change of the cut heals those who are not part of it any more', () => {
  const { lab, orders } = setUp()
  lab.drop([elm, ash])
  lab.sendControl(1, word)
  lab.sendControl(2, word)
  lab.drop([ash])
  expect(orders).toEqual(['close 1: reset by the heal of lab mode'])
})

test('a dropped member is not dialed, which is told later and not from within the call', async () => {
  const { lab, listener, orders } = setUp()
  lab.drop([elm])
  lab.dial({ type: 'member', peer: elm, addresses: ['127.0.0.1:7401'] })
  lab.dial({ type: 'member', peer: ash, addresses: ['127.0.0.1:7402'] })
  expect(listener.all('dialFailed')).toEqual([])
  expect(await listener.nth('dialFailed')).toMatchObject({ target: { peer: elm }, reason: 'cut off by lab mode' })
  expect(orders).toEqual(['dial ash'])
})

test('a link that comes up with a dropped peer is closed and never told', () => {
  const { lab, listener, orders } = setUp()
  lab.drop([elm])
  lab.linkUp(3, elm)
  lab.controlFrame(3, word)
  lab.drop([])
  lab.controlFrame(3, word)
  lab.linkDown(3, 'closed', 'cut off by lab mode')
  expect(orders[0]).toBe('close 3: cut off by lab mode')
  expect(listener.heard.map((fact) => fact.type)).toEqual(['linkUp', 'linkUp'])
})

test('the end of a link is told during the cut too', () => {
  const { lab, listener } = setUp()
  lab.drop([elm])
  lab.linkDown(1, 'closed', 'closed by the other side')
  expect(listener.all('linkDown').map((fact) => fact.link)).toEqual([1])
})

// Ways: one direction of a link --------------------------------------------------------------------------------------------

test('a way delays what comes in, in order, and nothing that goes out or comes from others', () => {
  const { lab, clock, orders, texts } = setUp()
  lab.setWays(new Map([[elm, { loss: 0, delayMs: 200 }]]))
  lab.controlFrame(1, utf8('one'))
  clock.advance(50)
  lab.controlFrame(1, utf8('two'))
  lab.controlFrame(2, utf8('other'))
  lab.sendControl(1, word)
  expect(orders).toEqual(['control 1'])
  expect(texts()).toEqual(['other'])
  clock.advance(149)
  expect(texts()).toEqual(['other'])
  clock.advance(1)
  expect(texts()).toEqual(['other', 'one'])
  clock.advance(50)
  expect(texts()).toEqual(['other', 'one', 'two'])
})

test('a lost frame comes after a timeout, doubled when it is lost again, and all behind it wait', () => {
  const { lab, clock, chances, texts } = setUp()
  lab.setWays(new Map([[elm, { loss: 0.3, delayMs: 50 }]]))
  chances.push(0.29, 0.1, 0.3)
  lab.controlFrame(1, utf8('lost twice'))
  lab.controlFrame(1, utf8('behind it'))
  // 50 ms, then timeouts of 200 ms and a round trip, and twice that.
  clock.advance(50 + 300 + 600 - 1)
  expect(texts()).toEqual([])
  clock.advance(1)
  expect(texts()).toEqual(['lost twice', 'behind it'])
})

test('frames on their way are overtaken by none that come when the way is free again', () => {
  const { lab, clock, texts } = setUp()
  lab.setWays(new Map([[elm, { loss: 0, delayMs: 200 }]]))
  lab.controlFrame(1, utf8('slow'))
  lab.setWays(new Map())
  lab.controlFrame(1, utf8('fast'))
  expect(texts()).toEqual([])
  clock.advance(200)
  expect(texts()).toEqual(['slow', 'fast'])
})

test('the end of a link comes behind its last frames, but not after the next link of that peer', () => {
  const { lab, clock, listener } = setUp()
  lab.setWays(new Map([[elm, { loss: 0, delayMs: 200 }]]))
  lab.controlFrame(1, word)
  lab.linkDown(1, 'closed', 'good-bye')
  clock.advance(200)
  expect(listener.heard.slice(2).map(({ type }) => type)).toEqual(['control', 'linkDown'])
  lab.linkUp(3, elm)
  lab.controlFrame(3, word)
  lab.linkDown(3, 'broken', 'reset')
  lab.linkUp(4, elm)
  clock.advance(1_000)
  expect(listener.heard.slice(4).map(({ type }) => type)).toEqual(['linkUp', 'linkDown', 'linkUp'])
})

test('who closes a link hears no more of it but its end', () => {
  const { lab, clock, listener, orders } = setUp()
  lab.setWays(new Map([[elm, { loss: 0, delayMs: 200 }]]))
  lab.controlFrame(1, word)
  lab.close(1, 'enough')
  expect(orders).toEqual(['close 1: enough'])
  lab.linkDown(1, 'closed', 'enough')
  lab.linkUp(3, elm)
  lab.controlFrame(3, word)
  lab.linkDown(3, 'closed', 'good-bye')
  lab.close(3, 'already down')
  expect(listener.all('linkDown')).toHaveLength(1)
  clock.advance(1_000)
  expect(listener.all('control')).toEqual([])
  expect(listener.all('linkDown').map(({ link }) => link)).toEqual([1, 3])
})

test('at loss 1 nothing is heard, what goes out passes, dials are refused, and the heal resets the link', async () => {
  const { lab, listener, orders } = setUp()
  lab.setWays(new Map([[elm, { loss: 1, delayMs: 0 }]]))
  lab.controlFrame(1, word)
  lab.sendControl(1, word)
  lab.sendData(1, [word], () => orders.push('written'))
  expect(listener.all('control')).toEqual([])
  expect(lab.refuses(elm)).toBe(true)
  lab.dial({ type: 'member', peer: elm, addresses: ['127.0.0.1:7401'] })
  expect(await listener.nth('dialFailed')).toMatchObject({ reason: 'cut off by lab mode' })
  expect(orders).toEqual(['control 1', 'data 1', 'written'])
  lab.setWays(new Map())
  expect(orders.at(-1)).toBe('close 1: reset by the heal of lab mode')
})

test('a cut of both ways that becomes one of one way resets a link that lost what would go out again', () => {
  const { lab, orders } = setUp()
  lab.drop([elm, ash])
  lab.sendControl(1, word)
  lab.controlFrame(2, word)
  lab.setWays(
    new Map([
      [elm, { loss: 1, delayMs: 0 }],
      [ash, { loss: 1, delayMs: 0 }],
    ]),
  )
  lab.drop([])
  expect(orders).toEqual(['close 1: reset by the heal of lab mode'])
})

test('what is on its way when the cut comes is lost', () => {
  const { lab, clock, texts, orders } = setUp()
  lab.setWays(new Map([[elm, { loss: 0, delayMs: 200 }]]))
  lab.controlFrame(1, word)
  lab.drop([elm])
  clock.advance(200)
  expect(texts()).toEqual([])
  lab.drop([])
  expect(orders).toEqual(['close 1: reset by the heal of lab mode'])
})

test('a link for which more waits than there is room for is closed', () => {
  const { lab, orders } = setUp()
  lab.setWays(new Map([[elm, { loss: 0, delayMs: 60_000 }]]))
  const frame = new Uint8Array(limits.dataFrameBytesMax)
  for (let bytes = 0; bytes <= limits.labDelayedBytesMax; bytes += frame.length) lab.dataFrame(1, frame)
  expect(orders).toEqual(['close 1: too much waits on the way that lab mode makes'])
})

test('after the stop nothing arrives any more', () => {
  const { lab, clock, listener } = setUp()
  lab.setWays(new Map([[elm, { loss: 0, delayMs: 200 }]]))
  lab.controlFrame(1, word)
  lab.linkDown(1, 'closed', 'good-bye')
  lab.stop()
  clock.advance(1_000)
  expect(listener.heard.map(({ type }) => type)).toEqual(['linkUp', 'linkUp'])
})
