import { fork } from 'node:child_process'
import { once } from 'node:events'
import { afterEach, expect, test } from 'vitest'
import { startWire, testPeers } from '#node/network/test-peers'
import type { ChildProcess } from 'node:child_process'

// Goal: the end of a process is told by its sockets at once; the end of a wire is found out when the other side dials
// again. Method: real processes, and a wire that swallows.

const peers = testPeers()
const children: ChildProcess[] = []
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  await peers.stopAll()
})

test('kill -9 of the other process takes the link down as closed, well within a second', async () => {
  const child = fork(new URL('link-peer.ts', import.meta.url), { stdio: 'inherit' })
  children.push(child)
  const [address] = (await once(child, 'message')) as [string]
  const oak = await peers.start()
  oak.transport.dial({ type: 'seed', address })
  await oak.listener.nth('linkUp')
  const killedAtMs = performance.now()
  child.kill('SIGKILL')
  expect(await oak.listener.nth('linkDown')).toMatchObject({ cause: 'closed' })
  expect(performance.now() - killedAtMs).toBeLessThan(1_000)
})

test.each(['the one behind the wire', 'the other one'])(
  'a link over a dead wire is replaced when %s dials again',
  async (who) => {
    const [oak, elm] = await Promise.all([peers.start(), peers.start()])
    const wire = await startWire(elm.address)
    oak.transport.dial({ type: 'seed', address: wire.address })
    await Promise.all([oak.listener.nth('linkUp'), elm.listener.nth('linkUp')])
    wire.swallow()
    // One of them gives the link up, as it does with a member that it takes for dead; the other one is not told.
    const [quitter, other] = who === 'the other one' ? [elm, oak] : [oak, elm]
    quitter.transport.close(quitter.links()[0]?.link ?? -1, 'no answer to probes')
    await quitter.listener.nth('linkDown')
    expect(other.links()).toHaveLength(1)

    quitter.transport.dial({ type: 'member', peer: other.peerId, addresses: [other.address] })
    await Promise.all([quitter.listener.nth('linkUp', 2), other.listener.nth('linkUp', 2)])
    expect(other.listener.heard.map((fact) => fact.type)).toEqual(['linkUp', 'linkDown', 'linkUp'])
    quitter.say(quitter.links()[0]?.link ?? -1, 'back again')
    expect(await other.listener.nth('control')).toMatchObject({ text: 'back again' })
    wire.stop()
  },
)
