import { afterEach, expect, test } from 'vitest'
import { testPeers } from './test-peers.ts'

// Goal: lab mode over real sockets: silence while they stay open, no dial in either direction, a fresh link afterwards.

const peers = testPeers()
afterEach(() => peers.stopAll())

async function linkedInLab() {
  const [oak, elm] = await Promise.all([peers.start({ lab: true }), peers.start()])
  oak.transport.dial({ type: 'seed', address: elm.address })
  await Promise.all([oak.listener.nth('linkUp'), elm.listener.nth('linkUp')])
  return { oak, elm, oakLink: oak.links()[0]?.link ?? -1, elmLink: elm.links()[0]?.link ?? -1 }
}

test('a cut is silent; the heal replaces the link that lost frames', async () => {
  const { oak, elm, oakLink, elmLink } = await linkedInLab()
  oak.lab?.drop([elm.peerId])
  elm.say(elmLink, 'lost on arrival')
  oak.say(oakLink, 'lost on leaving')
  // The other direction of time: elm's word has arrived once oak has answered a dial that elm made after it.
  elm.transport.dial({ type: 'seed', address: oak.address })
  await elm.listener.nth('dialFailed')
  expect([...oak.listener.all('control'), ...elm.listener.all('control')]).toEqual([])
  expect([...oak.listener.all('linkDown'), ...elm.listener.all('linkDown')]).toEqual([])

  oak.lab?.drop([])
  await Promise.all([oak.listener.nth('linkDown'), elm.listener.nth('linkDown')])
  elm.transport.dial({ type: 'member', peer: oak.peerId, addresses: [oak.address] })
  const [, back] = await Promise.all([oak.listener.nth('linkUp', 2), elm.listener.nth('linkUp', 2)])
  elm.say(back.link, 'hello again')
  expect(await oak.listener.nth('control')).toMatchObject({ text: 'hello again' })
})

test('a dropped peer is neither dialed nor let in', async () => {
  const [oak, elm] = await Promise.all([peers.start({ lab: true }), peers.start()])
  oak.lab?.drop([elm.peerId])
  oak.transport.dial({ type: 'seed', address: elm.address })
  oak.transport.dial({ type: 'member', peer: elm.peerId, addresses: [elm.address] })
  elm.transport.dial({ type: 'member', peer: oak.peerId, addresses: [oak.address] })
  await oak.listener.nth('dialFailed', 2)
  await elm.listener.nth('dialFailed')
  expect(oak.listener.all('dialFailed').map((fact) => fact.reason)).toEqual([
    'cut off by lab mode',
    'cut off by lab mode',
  ])
  expect([...oak.listener.all('linkUp'), ...elm.listener.all('linkUp')]).toEqual([])
})

test('one way: oak is deaf to elm, which hears it; neither gets a dial through until the heal', async () => {
  const { oak, elm, oakLink, elmLink } = await linkedInLab()
  oak.lab?.setWays(new Map([[elm.peerId, { loss: 1, delayMs: 0 }]]))
  elm.say(elmLink, 'lost on arrival')
  oak.say(oakLink, 'can you hear me?')
  expect(await elm.listener.nth('control')).toMatchObject({ text: 'can you hear me?' })
  elm.transport.dial({ type: 'seed', address: oak.address })
  await elm.listener.nth('dialFailed')
  expect(oak.listener.all('control')).toEqual([])
  oak.lab?.setWays(new Map())
  await Promise.all([oak.listener.nth('linkDown'), elm.listener.nth('linkDown')])
})

test('what comes late comes whole and in order', async () => {
  const { oak, elm, elmLink } = await linkedInLab()
  oak.lab?.setWays(new Map([[elm.peerId, { loss: 0.5, delayMs: 1 }]]))
  const words = ['one', 'two', 'three', 'four']
  for (const word of words) elm.say(elmLink, word)
  await oak.listener.nth('control', words.length)
  expect(oak.listener.all('control').map(({ text }) => text)).toEqual(words)
})
