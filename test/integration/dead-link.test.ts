import { fork } from 'node:child_process'
import { once } from 'node:events'
import { afterEach, expect, test } from 'vitest'
import { keysInOrder, startWire, testPeers } from '#node/network/test-peers'
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

test.each(['opens the streams', 'waits for them'])(
  'a link over a dead wire is replaced when the side that %s dials again',
  async (role) => {
    const [smaller, larger] = await keysInOrder()
    const quitter = await peers.start({ privateKey: role === 'opens the streams' ? smaller : larger })
    const other = await peers.start({ privateKey: role === 'opens the streams' ? larger : smaller })
    const wire = await startWire(other.address)
    quitter.transport.dial({ type: 'seed', address: wire.address })
    await Promise.all([quitter.listener.nth('linkUp'), other.listener.nth('linkUp')])
    wire.swallow()
    // One of them gives the link up, as it does with a member that it takes for dead; the other one is not told.
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
