import { describe, expect, test } from 'vitest'
import type { PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { SeededRandom } from '#protocol/random'
import { membershipProfiles } from './config.ts'
import { Links } from './links.ts'
import { Registry } from './registry.ts'
import { Rejoin, type RejoinDeps } from './rejoin.ts'
import { factsOf, peerOf, rumor, TestMesh } from './test-mesh.ts'
import { Turn } from './turn.ts'

// Goal: the mesh always re-merges, and nobody is dialed in a tight loop. Method: count dials over hours of virtual time.

const { dialBackoffMsMin, dialBackoffMsMax } = membershipProfiles.lan

const gapsOf = (mesh: TestMesh, from: PeerId, to: string): number[] => {
  const times = mesh.dials.filter((dial) => dial.from === from && dial.to === `${to}:7400`).map(({ atMs }) => atMs)
  return times.slice(1).map((atMs, index) => atMs - (times[index] ?? 0))
}

/** Of a peer that has no link with any of so many members, `p0` and so on. */
function rejoinOf(members: number, more: Partial<RejoinDeps>): Rejoin {
  const registry = new Registry([])
  for (let index = 0; index < members; index++) registry.merge(peerOf(`p${index}`), factsOf(`p${index}`))
  const config = membershipProfiles.lan
  const no = (): boolean => false
  const rules = { mayRest: no, isNeeded: no, isThere: () => true }
  const parts = { registry, links: new Links(), seeds: [] }
  return new Rejoin({ self: peerOf('oak'), config, random: new SeededRandom(1), ...parts, ...rules, ...more })
}

describe('a member that is gone', () => {
  test('is dialed for ever, ever more slowly up to the cap, and never in step', () => {
    const mesh = new TestMesh()
    const [oak, elm] = mesh.startAll('oak', 'elm') as [PeerId, PeerId]
    mesh.run(10_000)
    mesh.kill(elm)
    mesh.dials.length = 0
    mesh.run(3_600_000)
    const gaps = gapsOf(mesh, oak, 'elm')
    expect(gaps.length).toBeGreaterThan(3_600_000 / dialBackoffMsMax)
    expect(gaps[0]).toBeLessThanOrEqual(dialBackoffMsMin + 1)
    expect(Math.max(...gaps)).toBeLessThanOrEqual(dialBackoffMsMax + 1)
    expect(new Set(gaps.slice(-20)).size).toBeGreaterThan(10)
  })

  test('one of hundreds, is dialed the more slowly the more there are', () => {
    const mesh = new TestMesh()
    const [oak, elm] = mesh.startAll('oak', 'elm') as [PeerId, PeerId]
    mesh.run(5_000)
    for (let i = 0; i < 512; i++)
      mesh.inject(elm, oak, { type: 'gossip', updates: [rumor(peerOf(`p${i}`), 'dead', 1, elm)] })
    mesh.run(30_000)
    mesh.dials.length = 0
    mesh.run(30_000)
    const perSecond = mesh.dials.filter(({ from }) => from === oak).length / 30
    expect(perSecond).toBeGreaterThan(limits.absentPerBackoffMax / (dialBackoffMsMax / 1_000) / 2)
    expect(perSecond).toBeLessThan((2 * limits.absentPerBackoffMax) / (dialBackoffMsMax / 1_000))
  })

  test('one of a few among thousands that are there, is dialed as often as in a small mesh', () => {
    const longestGap = (isGone: (index: number) => boolean): number => {
      const rejoin = rejoinOf(2_048, { isThere: (peer) => !isGone(Number(peer.slice(1))) })
      let turn = new Turn(0)
      rejoin.memberMissing(peerOf('p0'), turn)
      const gaps = Array.from({ length: 12 }, () => {
        const failed = new Turn(turn.nowMs + 1)
        rejoin.dialFailed({ type: 'member', peer: peerOf('p0') }, 'refused', failed)
        const { dueMs } = rejoin.snapshot()[0] as { dueMs: number }
        turn = new Turn(dueMs)
        rejoin.timerFired({ type: 'member', peer: peerOf('p0') }, dueMs, turn)
        return dueMs - failed.nowMs
      })
      return Math.max(...gaps)
    }
    expect(longestGap((index) => index < 10)).toBeLessThanOrEqual(dialBackoffMsMax)
    expect(longestGap((index) => index < 1_024)).toBeGreaterThan(2 * dialBackoffMsMax)
  })

  test('is found again at an address it told long ago, by a peer that restarted meanwhile', () => {
    const mesh = new TestMesh()
    const [oak, elm] = mesh.startAll('oak', 'elm') as [PeerId, PeerId]
    mesh.run(10_000)
    mesh.kill(oak)
    mesh.kill(elm)
    mesh.run(3_600_000)
    mesh.start('oak')
    expect(mesh.view(oak, elm)).toMatchObject({ state: 'dead', reason: 'not heard of since this peer started' })
    mesh.run(3_600_000)
    mesh.start('elm')
    mesh.runUntil(() => mesh.allSee([oak, elm], [oak, elm], 'alive'), dialBackoffMsMax + 1_000)
  })

  test('is dialed by newcomers too, who know it only from the words of others', () => {
    const mesh = new TestMesh()
    const [, elm] = mesh.startAll('oak', 'elm') as [PeerId, PeerId]
    mesh.run(10_000)
    mesh.kill(elm)
    mesh.run(60_000)
    const ash = mesh.start('ash', ['oak'])
    mesh.run(60_000)
    expect(mesh.state(ash, elm)).toBe('dead')
    expect(gapsOf(mesh, ash, 'elm').length).toBeGreaterThan(10)
  })

  test('stays gone without re-join: this is what the rule is for', () => {
    class NoRejoin extends Rejoin {
      override memberMissing(): void {}
      override dialFailed(): void {}
    }
    const mesh = new TestMesh(undefined, { createRejoin: (deps) => new NoRejoin(deps) })
    const [oak, elm, ash, fir] = mesh.startAll('oak', 'elm', 'ash', 'fir') as [PeerId, PeerId, PeerId, PeerId]
    mesh.run(10_000)
    mesh.isCut = (a, b) => (a === oak || a === elm) !== (b === oak || b === elm)
    mesh.run(60_000)
    mesh.isCut = () => false
    mesh.run(600_000)
    expect(mesh.allSee([oak, elm], [ash, fir], 'dead')).toBe(true)
  })
})

describe('links that do not last are renewed ever more rarely, up to the cap', () => {
  /** Whenever there is a link it is closed, so long after it came up. */
  const dropLinks = (mesh: TestMesh, ends: readonly [PeerId, PeerId], afterMs: number, forMs: number): void => {
    const endMs = mesh.nowMs + forMs
    for (; mesh.nowMs < endMs; mesh.run(1)) {
      if (!mesh.isLinked(...ends)) continue
      // Both ends know of a link after 2 ms.
      mesh.run(2 + afterMs)
      mesh.closeLink(...ends, 'closed')
    }
  }
  const expectBackoff = (mesh: TestMesh, linkMs: number): void => {
    const times = mesh.dials.map(({ atMs }) => atMs)
    const gaps = times.slice(1).map((atMs, index) => atMs - (times[index] ?? 0))
    expect(gaps.length).toBeGreaterThan(60_000 / (dialBackoffMsMax + linkMs) - 1)
    expect(Math.min(...gaps.slice(10))).toBeGreaterThanOrEqual(dialBackoffMsMax / 2)
  }

  test.each([5, 300, 1_000])('with a member that drops them after %i ms', (linkMs) => {
    const mesh = new TestMesh()
    const [oak, elm] = mesh.startAll('oak', 'elm') as [PeerId, PeerId]
    mesh.run(10_000)
    mesh.kill(elm)
    mesh.start('elm')
    mesh.run(10_000)
    mesh.dials.length = 0
    dropLinks(mesh, [oak, elm], linkMs, 60_000)
    expectBackoff(mesh, linkMs)
  })

  test('with a seed that drops them before it said who it is', () => {
    const mesh = new TestMesh()
    const elm = mesh.start('elm')
    const oak = mesh.start('oak', ['elm'])
    dropLinks(mesh, [oak, elm], 0, 60_000)
    expectBackoff(mesh, 0)
  })

  test('but a stranger who comes and goes does not keep us from asking our seeds', () => {
    const mesh = new TestMesh()
    const oak = mesh.start('oak', ['elm'])
    const config = { ...membershipProfiles.lan, dialBackoffMsMax: 100, dialBackoffMsMin: 100 }
    const ash = mesh.start('ash', ['oak'], { config })
    dropLinks(mesh, [oak, ash], 0, 60_000)
    expect(gapsOf(mesh, oak, 'elm').length).toBeGreaterThan(60_000 / dialBackoffMsMax)
  })
})

test('a peer that is leaving dials nobody any more', () => {
  const mesh = new TestMesh()
  const oak = mesh.start('oak', ['elm'])
  mesh.run(10_000)
  mesh.leave(oak)
  mesh.dials.length = 0
  mesh.run(60_000)
  expect(mesh.dials).toEqual([])
})

describe('seeds', () => {
  test('are dialed until one is there, and then left alone', () => {
    const mesh = new TestMesh()
    const oak = mesh.start('oak', ['elm', 'ash'])
    mesh.run(60_000)
    expect(gapsOf(mesh, oak, 'elm').length).toBeGreaterThan(10)
    mesh.start('elm')
    mesh.start('ash')
    mesh.run(60_000)
    mesh.dials.length = 0
    mesh.run(600_000)
    expect(mesh.dials).toEqual([])
  })

  test('that are missing are asked rarely while we are in a mesh', () => {
    const mesh = new TestMesh()
    mesh.start('elm')
    const oak = mesh.start('oak', ['elm', 'ash'])
    mesh.run(60_000)
    mesh.dials.length = 0
    mesh.run(600_000)
    const asked = mesh.dials.filter(({ from, to }) => from === oak && to === 'ash:7400').length
    expect(asked).toBeGreaterThanOrEqual(600_000 / membershipProfiles.lan.pushPullIntervalMs - 1)
    expect(asked).toBeLessThan(50)
  })

  test('are asked again when no link is left: the seed may be another peer by now', () => {
    const mesh = new TestMesh()
    const [oak, elm] = mesh.startAll('elm', 'oak').toReversed() as [PeerId, PeerId]
    mesh.run(30_000)
    mesh.dials.length = 0
    mesh.kill(elm)
    mesh.run(dialBackoffMsMin)
    expect(mesh.dials.filter(({ from, type }) => from === oak && type === 'seed')).toHaveLength(1)
  })

  test('are asked again when a link goes before anybody said who is at its other end', () => {
    const mesh = new TestMesh()
    const [elm, fir] = [mesh.start('elm'), mesh.start('fir')]
    const oak = mesh.start('oak', ['elm', 'fir'])
    mesh.run(2)
    mesh.closeLink(oak, elm, 'broken')
    mesh.runUntil(() => mesh.allSee([oak], [elm, fir], 'alive'), 10_000)
  })

  test('are asked again when their dial fails later than we have waited for it (simulator, seed 2321)', () => {
    const mesh = new TestMesh()
    const [elm, ash] = [mesh.start('elm'), mesh.start('ash')]
    let isCut = true
    mesh.isCut = (_, to) => isCut && to === ash
    mesh.dialTimeoutMs = membershipProfiles.lan.dialTimeoutMs + 5_000
    const oak = mesh.start('oak', ['elm', 'ash'])
    mesh.run(mesh.dialTimeoutMs + 1_000)
    isCut = false
    mesh.runUntil(() => mesh.allSee([oak], [elm, ash], 'alive'), 60_000)
  })

  test('are left alone when a new link takes the place of the only one', () => {
    const mesh = new TestMesh()
    const [oak, elm] = mesh.startAll('elm', 'oak').toReversed() as [PeerId, PeerId]
    mesh.run(30_000)
    mesh.dials.length = 0
    mesh.closeLink(oak, elm, 'broken')
    mesh.run(60_000)
    expect(mesh.isLinked(oak, elm)).toBe(true)
    expect(mesh.dials.filter(({ type }) => type === 'seed')).toEqual([])
  })

  test('that are our own address are not dialed', () => {
    const mesh = new TestMesh()
    mesh.start('oak', ['oak'])
    mesh.run(60_000)
    expect(mesh.dials).toEqual([])
  })
})

test('a dial whose end is never told counts as failed, so re-join cannot hang on it', () => {
  const mesh = new TestMesh()
  const oak = mesh.start('oak', ['elm'])
  mesh.loseDialAnswers = true
  mesh.run(120_000)
  expect(gapsOf(mesh, oak, 'elm').length).toBeGreaterThanOrEqual(
    120_000 / (membershipProfiles.lan.dialTimeoutMs + dialBackoffMsMax) - 1,
  )
})
