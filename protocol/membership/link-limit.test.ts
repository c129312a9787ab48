import { beforeEach, describe, expect, test } from 'vitest'
import type { PeerId } from '#protocol/ids'
import { membershipProfiles } from './config.ts'
import { peerOf, TestMesh } from './test-mesh.ts'

// Goal: with fewer links than members the promises of SWIM hold, and links come when they are needed. Method: twenty
// machines that keep four links each, on virtual time.

const config = { ...membershipProfiles.lan, linksMax: 4, linkIdleMs: 2_000 }
const names = Array.from({ length: 20 }, (_, index) => `oak${index}`)

describe('twenty members that keep four links each', () => {
  let mesh: TestMesh
  let all: PeerId[]
  let first: PeerId, last: PeerId

  beforeEach(() => {
    mesh = new TestMesh(config)
    all = mesh.startAll(...names)
    ;[first, last] = [all[0] as PeerId, all[19] as PeerId]
    mesh.run(60_000)
  })

  const others = (...not: PeerId[]): PeerId[] => all.filter((peer) => !not.includes(peer))
  const linksOf = (peer: PeerId): number => mesh.machine(peer).snapshot(mesh.nowMs).links.length
  const dialsSince = (atMs: number): number => mesh.dials.filter((dial) => dial.atMs >= atMs).length
  const unlinked = (peer: PeerId): PeerId => others(peer).find((other) => !mesh.isLinked(peer, other)) as PeerId

  test('know each other, have few links, and suspect nobody in ten minutes', () => {
    expect(mesh.allSee(all, all, 'alive')).toBe(true)
    mesh.changes.length = 0
    for (let second = 0; second < 600; second++) {
      mesh.run(1_000)
      const links = all.map(linksOf)
      // Who has no more than half of its links gives none of them away.
      expect(Math.min(...links)).toBeGreaterThanOrEqual(config.linksMax / 2)
      // New ones may not be closed for two seconds, in which two probes come and two go.
      expect(links.reduce((sum, count) => sum + count) / all.length).toBeLessThan(config.linksMax + 4)
    }
    expect(mesh.changes).toEqual([])
  })

  test('dial once per probe at most, and send few full states', () => {
    const { nowMs } = mesh
    mesh.run(60_000)
    expect(dialsSince(nowMs)).toBeLessThan(60 * all.length)
    const states = mesh.sent.filter(({ atMs, message }) => atMs >= nowMs && message.type === 'pushPull')
    expect(states.length).toBeLessThan(8 * all.length)
  })

  test('hear everywhere of a killed process, in the time of a probe round and a suspicion', () => {
    mesh.kill(last)
    expect(mesh.runUntil(() => mesh.allSee(others(last), [last], 'dead'), 30_000)).toBeLessThan(15_000)
    // It is dialed for ever, also by those that had no link with it.
    const { nowMs } = mesh
    mesh.run(10_000)
    const dialers = new Set(
      mesh.dials.filter(({ atMs, to }) => atMs >= nowMs && to === `${last}:7400`).map(({ from }) => from),
    )
    expect(dialers.size).toBe(19)
  })

  test('link what is needed at once, and keep it beyond the limit', () => {
    const needed = new Set(others(first).slice(0, 9))
    mesh.tell(first, { type: 'linksNeeded', peers: needed })
    mesh.run(10)
    for (let minute = 0; minute < 3; minute++) {
      for (const peer of needed) expect(mesh.isLinked(first, peer)).toBe(true)
      mesh.run(60_000)
    }
    mesh.tell(first, { type: 'linksNeeded', peers: new Set() })
    mesh.run(30_000)
    expect(linksOf(first)).toBeLessThan(9)
  })

  test('keep a link that one side uses, although the other would close it', () => {
    const peer = unlinked(first)
    mesh.tell(first, { type: 'linksNeeded', peers: new Set([peer]) })
    mesh.run(10)
    const { nowMs } = mesh
    for (let second = 0; second < 60; second++) {
      mesh.tell(peer, { type: 'linkUsed', peer: first })
      mesh.tell(first, { type: 'linksNeeded', peers: new Set() })
      mesh.run(1_000)
      expect(mesh.isLinked(first, peer)).toBe(true)
    }
    expect(
      mesh.sent.some(
        ({ atMs, from, to, message }) => atMs >= nowMs && from === first && to === peer && message.type === 'rest',
      ),
    ).toBe(true)
  })

  test('do not take the end of an idle link for evidence, but any other end', () => {
    mesh.changes.length = 0
    const isRest = ({ message }: (typeof mesh.sent)[number]): boolean => message.type === 'rest' && message.agreed
    const before = mesh.sent.filter(isRest).length
    mesh.runUntil(() => mesh.sent.filter(isRest).length > before, 10_000)
    const { from, to } = mesh.sent.findLast(isRest) as (typeof mesh.sent)[number]
    const { nowMs } = mesh
    mesh.run(5)
    expect(mesh.isLinked(from, to)).toBe(false)
    expect(mesh.dials.filter(({ atMs, ...dial }) => atMs >= nowMs && [from, to].includes(dial.from))).toEqual([])
    const neighbor = others(first).find((peer) => mesh.isLinked(first, peer)) as PeerId
    mesh.closeLink(first, neighbor, 'closed')
    mesh.run(5)
    expect(mesh.isLinked(first, neighbor)).toBe(true)
  })

  test('dial with back-off where a link breaks as soon as it is up', () => {
    const neighbor = others(first).find((peer) => mesh.isLinked(first, peer)) as PeerId
    const { nowMs } = mesh
    for (; mesh.nowMs < nowMs + 10_000; mesh.run(1)) {
      if (!mesh.isLinked(first, neighbor)) continue
      mesh.run(2)
      mesh.closeLink(first, neighbor, 'broken')
    }
    const between = mesh.dials.filter(
      ({ atMs, from, to }) =>
        atMs >= nowMs &&
        ((from === first && to === `${neighbor}:7400`) || (from === neighbor && to === `${first}:7400`)),
    )
    // As many as back-off makes, and the probes of the two, and of those that ask them to probe.
    expect(between.length).toBeLessThan(20)
    // What the link has had is forgotten when it stands again.
    mesh.runUntil(() => mesh.isLinked(first, neighbor), 60_000)
  })

  test('have no news of links that come and go, but of one that is broken', () => {
    mesh.linkNews.length = 0
    const { nowMs } = mesh
    mesh.run(60_000)
    expect(dialsSince(nowMs)).toBeGreaterThan(100)
    expect(mesh.linkNews).toEqual([])
    const neighbor = others(first).find((peer) => mesh.isLinked(first, peer)) as PeerId
    mesh.closeLink(first, neighbor, 'broken')
    mesh.run(1)
    expect(mesh.linkNews).toEqual([
      { at: first, peer: neighbor, type: 'linkDown' },
      { at: neighbor, peer: first, type: 'linkDown' },
    ])
  })

  test('find each other again after a split that was longer than every timeout', () => {
    const isLeft = (peer: PeerId): boolean => all.indexOf(peer) < 8
    mesh.isCut = (a, b) => isLeft(a) !== isLeft(b)
    mesh.run(180_000)
    const left = all.filter(isLeft)
    const right = all.filter((peer) => !isLeft(peer))
    expect(mesh.allSee(left, right, 'dead') && mesh.allSee(right, left, 'dead')).toBe(true)
    mesh.isCut = () => false
    expect(mesh.runUntil(() => mesh.allSee(all, all, 'alive'), 30_000)).toBeLessThan(15_000)
  })

  test('are not all dialed by one that joins, or comes back', () => {
    const join = (name: string): number => {
      const { nowMs } = mesh
      const peer = mesh.start(name, [names[3] as string])
      mesh.runUntil(() => mesh.allSee([peer], all, 'alive') && mesh.allSee(all, [peer], 'alive'), 10_000)
      return mesh.dials.filter(({ atMs, from }) => atMs >= nowMs && from === peer).length
    }
    expect(join('elm')).toBeLessThan(10)
    mesh.run(10_000)
    mesh.kill(peerOf('elm'))
    mesh.run(60_000)
    expect(join('elm')).toBeLessThan(10)
  })
})

test('up to the limit everybody is linked, and nobody asks for less', () => {
  const mesh = new TestMesh({ ...config, linksMax: 6 })
  const all = mesh.startAll(...names.slice(0, 7))
  mesh.run(300_000)
  for (const a of all) for (const b of all) expect(a === b || mesh.isLinked(a, b)).toBe(true)
  expect(mesh.sent.some(({ message }) => message.type === 'rest')).toBe(false)
})

test('two members that keep one link find a third', () => {
  const mesh = new TestMesh({ ...config, linksMax: 1, linkIdleMs: 500 })
  const all = mesh.startAll('oak', 'elm', 'ash')
  mesh.run(60_000)
  expect(mesh.allSee(all, all, 'alive')).toBe(true)
  expect(mesh.changes.some(({ to }) => to !== 'alive')).toBe(false)
})

test('where as many others belong as links are kept all stay linked, also while one that was forgotten is linked, too', () => {
  const mesh = new TestMesh({ ...config, linksMax: 3 })
  const all = mesh.startAll('oak', 'elm', 'ash', 'fir', 'yew')
  const [oak, yew] = [all[0], all[4]] as [PeerId, PeerId]
  mesh.run(60_000)
  mesh.tell(oak, { type: 'registryEdited', ref: 1, edit: { type: 'forget', peer: yew, force: true } })
  mesh.run(60_000)
  for (let second = 0; second < 60; second++) {
    mesh.run(1_000)
    for (const a of all)
      for (const b of all) if (a < b && a !== yew && b !== yew) expect(mesh.isLinked(a, b)).toBe(true)
  }
})

test('of two that hear of each other for the first time one dials', () => {
  const mesh = new TestMesh()
  const [oak, elm, ash] = mesh.startAll('oak', 'elm', 'ash') as [PeerId, PeerId, PeerId]
  mesh.run(2_000)
  expect(mesh.isLinked(elm, ash)).toBe(true)
  const between = mesh.dials.filter(({ from, to }) => from !== oak && !to.startsWith('oak'))
  expect(between.map(({ from }) => from)).toEqual([ash])
})

test('where that dial leads to nothing, the other one dials, long before a probe would', () => {
  const mesh = new TestMesh({ ...membershipProfiles.lan, probeIntervalMs: 10_000 })
  const [oak, elm] = mesh.startAll('oak', 'elm') as [PeerId, PeerId]
  mesh.run(2_000)
  const ash = mesh.start('ash', ['oak'])
  mesh.runUntil(() => mesh.isLinked(oak, ash), 1_000)
  mesh.loseDialAnswers = true
  mesh.run(100)
  mesh.loseDialAnswers = false
  const { nowMs } = mesh
  mesh.runUntil(() => mesh.isLinked(elm, ash), 3 * membershipProfiles.lan.dialBackoffMsMin)
  expect(mesh.dials.filter(({ atMs }) => atMs >= nowMs).map(({ from }) => from)).toContain(elm)
})

describe('of members that are there few are dialed at a time', () => {
  const dialsAtOnce = 3
  let mesh: TestMesh
  let all: PeerId[]

  beforeEach(() => {
    mesh = new TestMesh({ ...membershipProfiles.lan, dialsAtOnce })
    all = mesh.startAll(...names)
    mesh.run(30_000)
  })

  /** Dials that began in one millisecond; each takes two. */
  const dialsAtOnceBy = (peer: PeerId, sinceMs: number): number => {
    const times = mesh.dials.filter(({ atMs, from }) => atMs >= sinceMs && from === peer).map(({ atMs }) => atMs)
    return Math.max(...times.map((time) => times.filter((other) => other === time).length))
  }
  const isLinkedWithAll = (peer: PeerId): boolean => all.every((other) => other === peer || mesh.isLinked(peer, other))

  test.each(['aaa', 'zzz'])('and the next as soon as one of them is linked, by one that joins (%s)', (name) => {
    const { nowMs } = mesh
    const peer = mesh.start(name, ['oak0'])
    mesh.runUntil(() => isLinkedWithAll(peer), 1_000)
    expect(dialsAtOnceBy(peer, nowMs)).toBeLessThanOrEqual(dialsAtOnce)
  })

  test('and by one that comes back', () => {
    const peer = all[0] as PeerId
    mesh.kill(peer)
    mesh.run(30_000)
    // Only the one that is back dials: the others have just tried.
    const { nowMs } = mesh
    mesh.start('oak0')
    mesh.runUntil(() => isLinkedWithAll(peer), 200)
    expect(dialsAtOnceBy(peer, nowMs)).toBeLessThanOrEqual(dialsAtOnce)
  })

  test('also where one that rested with most suddenly needs all', () => {
    mesh = new TestMesh({ ...config, dialsAtOnce })
    all = mesh.startAll(...names)
    mesh.run(60_000)
    const [peer, { nowMs }] = [all[0] as PeerId, mesh]
    expect(isLinkedWithAll(peer)).toBe(false)
    mesh.tell(peer, { type: 'linksNeeded', peers: new Set(all.slice(1)) })
    mesh.runUntil(() => isLinkedWithAll(peer), 100)
    expect(dialsAtOnceBy(peer, nowMs)).toBeLessThanOrEqual(dialsAtOnce)
  })

  test('those first that are needed', () => {
    const peer = all[0] as PeerId
    mesh.kill(peer)
    mesh.run(30_000)
    mesh.start('oak0')
    const { nowMs } = mesh
    const dialed = (): string[] => mesh.dials.filter((d) => d.atMs >= nowMs && d.from === peer).map(({ to }) => to)
    const needed = all
      .slice(1)
      .filter((other) => !dialed().includes(`${other}:7400`))
      .slice(-3)
    mesh.tell(peer, { type: 'linksNeeded', peers: new Set(needed) })
    mesh.runUntil(() => needed.every((other) => mesh.isLinked(peer, other)), 20)
    expect(dialed().slice(3, 6).toSorted()).toEqual(needed.map((other) => `${other}:7400`).toSorted())
  })
})
