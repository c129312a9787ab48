import { expect, test } from 'vitest'
import { LabFilter } from './lab-filter.ts'
import { RecordingListener } from './test-peers.ts'
import { utf8 } from '#protocol/text'
import type { Transport } from '../driver-ports.ts'
import type { PeerId } from '#protocol/ids'

// Goal: a cut made by hand looks like silence, and its end like a fresh link. Method: a transport that notes its orders.

const elm = 'elm' as PeerId
const ash = 'ash' as PeerId
const word = utf8('word')

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
  const lab = new LabFilter(listener)
  lab.attach(below)
  lab.linkUp(1, elm)
  lab.linkUp(2, ash)
  return { lab, listener, orders }
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
