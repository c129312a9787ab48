// Goal: what one peer says of a split is what happened: who is on which side since when, one report for each heal, and what
// moved. Method: oak is told what membership would tell it, and of disks what replication would know.
import { expect, test } from 'vitest'
import type { Epoch, PeerId, TopicId } from '#protocol/ids'
import { type FeedId, feedKeyOf } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import type { Millis } from '#protocol/machine'
import type { PartitionEffect, PartitionTimer, PresenceNews } from './inputs.ts'
import type { Holding } from './merge.ts'
import { Partitions } from './partitions.ts'

const [oak, elm, ash, fir] = ['oak', 'elm', 'ash', 'fir'] as PeerId[] as [PeerId, PeerId, PeerId, PeerId]
const ordersOf = (writer: PeerId): FeedId => ({ topicId: 'orders' as TopicId, writer, epoch: '1' as Epoch })
const config = { togetherMs: 20_000, settleMs: 5_000 }

/** Disks, by who holds how many records of whose feed. */
class Disks {
  readonly ends = new Map<PeerId, Map<PeerId, number>>()

  set(holder: PeerId, ends: Readonly<Record<string, number>>): void {
    this.ends.set(holder, new Map(Object.entries(ends)) as Map<PeerId, number>)
  }

  *of(holder: PeerId): Generator<Holding> {
    for (const [writer, to] of this.ends.get(holder) ?? []) yield { feed: ordersOf(writer), from: 0, to }
  }

  endOf(holder: PeerId, key: string): number | undefined {
    return [...this.of(holder)].find(({ feed }) => feedKeyOf(feed) === key)?.to
  }
}

class Oak {
  readonly disks = new Disks()
  nowMs: Millis = 0
  readonly facts: PartitionEffect[] = []
  keeps: (peer: PeerId) => boolean = () => true
  readonly #timers: { readonly atMs: Millis; readonly timer: PartitionTimer }[] = []
  readonly machine = new Partitions({
    self: oak,
    config,
    holdings: {
      local: () => this.disks.of(oak),
      localEnd: (key) => this.disks.endOf(oak, key),
      knows: (peer) => this.disks.ends.has(peer),
      heldBy: (peer) => this.disks.of(peer),
      endAt: (peer, key) => this.disks.endOf(peer, key),
      keeps: (peer) => this.keeps(peer),
    },
  })

  constructor(others: readonly PeerId[] = [elm, ash, fir]) {
    this.#handle({ type: 'started', members: [oak, ...others] })
    this.are('reachable', ...others)
    this.pass(60_000)
    this.facts.length = 0
  }

  are(presence: PresenceNews, ...peers: readonly PeerId[]): void {
    this.#handle({ type: 'membersChanged', news: peers.map((peer) => ({ peer, presence, by: oak, reason: 'silent' })) })
  }

  saidLost(by: PeerId, peer: PeerId): void {
    this.#handle({ type: 'membersChanged', news: [{ peer, presence: 'away', by, reason: 'silent' }] })
  }

  meets(peer: PeerId): void {
    this.#handle({ type: 'met', peer })
  }

  /** The member tells all that it holds. */
  hears(peer: PeerId): void {
    const feeds = [...this.disks.of(peer)].map(({ feed }) => feedKeyOf(feed))
    this.#handle({ type: 'told', peer, feeds, gone: [], all: true })
  }

  stores(writer: PeerId, to: number): void {
    this.#handle({ type: 'storing', feeds: [ordersOf(writer)] })
    this.disks.ends.get(oak)?.set(writer, to)
    this.#handle({ type: 'stored', feeds: [feedKeyOf(ordersOf(writer))] })
  }

  finds(records: number, writer: PeerId, offset: number): void {
    this.#handle({ type: 'duplicatesFound', feed: ordersOf(writer), offset, records })
  }

  pass(ms: Millis): void {
    const endMs = this.nowMs + ms
    for (;;) {
      const next = this.#timers.toSorted((a, b) => a.atMs - b.atMs)[0]
      if (next === undefined || next.atMs > endMs) break
      this.#timers.splice(this.#timers.indexOf(next), 1)
      this.nowMs = next.atMs
      this.#handle({ type: 'timerFired', timer: next.timer })
    }
    this.nowMs = endMs
  }

  islands(): string[] {
    return this.machine.islands().map(({ members }) => members.map(({ peer }) => peer).join(' '))
  }

  heals(): string[] {
    return this.machine.heals().map(({ state, ours, theirs, sinceMs, healedMs }) => {
      return `${ours.join(' ')} / ${theirs.map(({ peer }) => peer).join(' ')} for ${healedMs - sinceMs} ms, ${state}`
    })
  }

  types(): string[] {
    return this.facts.map(({ type }) => type)
  }

  #handle(input: Parameters<Partitions['handle']>[0]): void {
    for (const effect of this.machine.handle(input, this.nowMs)) {
      if (effect.type === 'setTimer') this.#timers.push({ atMs: this.nowMs + effect.afterMs, timer: effect.timer })
      else this.facts.push(effect)
    }
  }
}

test('a split is told with both sides, and its end with one report', () => {
  const mesh = new Oak()
  mesh.are('away', elm)
  mesh.pass(2_000)
  mesh.are('away', ash)
  expect(mesh.islands()).toEqual(['elm ash'])
  expect(mesh.machine.reach()).toEqual({ reachable: [oak, fir], known: [oak, elm, ash, fir] })
  mesh.pass(28_000)
  mesh.are('reachable', ash, elm)
  expect(mesh.islands()).toEqual([])
  expect(mesh.heals()).toEqual(['oak fir / ash elm for 30000 ms, merging'])
  for (const peer of [elm, ash]) {
    mesh.meets(peer)
    mesh.hears(peer)
  }
  expect(mesh.heals()).toEqual(['oak fir / ash elm for 30000 ms, merged'])
  expect(mesh.types()).toEqual(['partitionChanged', 'partitionChanged', 'partitionHealed', 'sidesMerged'])
  expect(mesh.facts[2]).toMatchObject({ apartMs: 30_000, back: [ash, elm] })
})

test('members that were lost at other times are on other islands', () => {
  const mesh = new Oak()
  mesh.are('away', elm)
  mesh.pass(config.togetherMs + 1)
  mesh.are('away', ash, fir)
  expect(mesh.islands()).toEqual(['elm', 'ash fir'])
  mesh.are('reachable', ash, fir)
  expect(mesh.heals()).toEqual(['oak / ash fir for 0 ms, merging'])
  expect(mesh.types().at(-1)).toBe('partitionChanged')
})

test('who was called dead by a member that is lost next is on another island', () => {
  const mesh = new Oak()
  mesh.saidLost(elm, ash)
  mesh.are('away', elm)
  expect(mesh.islands()).toEqual(['ash', 'elm'])
  // Its word may come after it is lost itself.
  mesh.saidLost(ash, fir)
  expect(mesh.islands()).toEqual(['ash', 'elm fir'])
})

test('of a cut of which a part comes back, that part is reported and the rest stays away since then', () => {
  const mesh = new Oak()
  mesh.are('away', elm, ash)
  mesh.pass(10_000)
  mesh.are('reachable', elm)
  expect(mesh.heals()).toEqual([])
  mesh.pass(config.settleMs)
  expect(mesh.heals()).toEqual(['oak fir / elm for 10000 ms, merged'])
  expect(mesh.islands()).toEqual(['ash'])
  mesh.pass(5_000)
  mesh.are('reachable', ash)
  expect(mesh.heals()[0]).toBe('oak elm fir / ash for 20000 ms, merging')
})

test('a cut that flaps gives one report, from its first loss to its last return, of all that has moved', () => {
  const mesh = new Oak([elm])
  mesh.disks.set(oak, { oak: 10, elm: 10 })
  mesh.disks.set(elm, { oak: 10, elm: 10 })
  mesh.are('away', elm)
  for (let n = 1; n <= 3; n++) {
    mesh.pass(3_599_000)
    // Apart, each writes ten more, and each time they give each other nine of them, or what was left.
    mesh.disks.set(oak, { oak: 10 + n * 10, elm: mesh.disks.ends.get(oak)?.get(elm) ?? 0 })
    mesh.meets(elm)
    mesh.are('reachable', elm)
    mesh.disks.set(elm, { oak: 1 + n * 9, elm: 10 + n * 10 })
    mesh.hears(elm)
    expect(mesh.machine.heals()).toMatchObject([{ state: 'merging', received: { left: 9 + n }, mergedMs: undefined }])
    mesh.stores(elm, 10 + n * 9)
    mesh.disks.set(elm, { oak: 10 + n * 9, elm: 10 + n * 10 })
    mesh.hears(elm)
    mesh.pass(1_000)
    mesh.are('away', elm)
    expect(mesh.heals()).toEqual([])
  }
  mesh.pass(1_000)
  mesh.meets(elm)
  mesh.are('reachable', elm)
  expect(mesh.heals()).toEqual(['oak / elm for 10801000 ms, merging'])
  mesh.hears(elm)
  mesh.stores(elm, 40)
  mesh.disks.set(elm, { oak: 40, elm: 40 })
  mesh.hears(elm)
  mesh.pass(config.settleMs)
  expect(mesh.heals()).toEqual(['oak / elm for 10801000 ms, merged'])
  expect(mesh.machine.heals()).toMatchObject([
    {
      received: { records: 30, left: 0, feeds: 1 },
      theirs: [{ taken: { records: 30, left: 0, feeds: 1 } }],
      mergedMs: mesh.nowMs - config.settleMs,
    },
  ])
})

test('of who is lost again while others stay, nothing is waited for, and what it gave counts', () => {
  const mesh = new Oak([elm, ash])
  mesh.disks.set(oak, { elm: 10 })
  mesh.disks.set(elm, { elm: 20 })
  mesh.disks.set(ash, { elm: 15 })
  mesh.are('away', elm, ash)
  mesh.pass(60_000)
  for (const peer of [elm, ash]) {
    mesh.meets(peer)
    mesh.are('reachable', peer)
    mesh.hears(peer)
  }
  mesh.stores(elm, 12)
  mesh.are('away', elm)
  mesh.pass(config.settleMs)
  expect(mesh.machine.heals()).toMatchObject([{ state: 'merging', received: { records: 2, left: 3 } }])
  mesh.stores(elm, 15)
  expect(mesh.machine.heals()).toMatchObject([{ state: 'merged', received: { records: 5 }, theirs: [{ peer: ash }] }])
})

test('a start is no split while others may still be heard of, and is one for those who are not', () => {
  const mesh = new Oak([])
  const started = new Partitions({
    self: oak,
    config,
    holdings: {
      local: () => [],
      localEnd: () => 0,
      knows: () => false,
      heldBy: () => [],
      endAt: () => 0,
      keeps: () => true,
    },
  })
  const first = started.handle({ type: 'started', members: [oak, elm, ash] }, 0)
  expect(first.map(({ type }) => type)).toEqual(['setTimer'])
  expect(started.reach()).toEqual({ reachable: [oak], known: [oak, elm, ash] })
  const news = { presence: 'reachable', by: elm, reason: '' } as const
  started.handle({ type: 'membersChanged', news: [{ peer: elm, ...news }] }, 300)
  const late = started.handle({ type: 'timerFired', timer: { type: 'settledIn' } }, config.settleMs)
  expect(late).toMatchObject([{ type: 'partitionChanged', reachable: [oak, elm] }])
  started.handle({ type: 'timerFired', timer: { type: 'settled', cut: 1, change: 1 } }, config.settleMs + 300)
  started.handle({ type: 'membersChanged', news: [{ peer: ash, ...news }] }, 60_000)
  expect(started.heals()).toMatchObject([{ sinceStart: true, theirs: [{ peer: ash }], healedMs: 60_000 }])
  expect(mesh.heals()).toEqual([])
})

test('who was away and is only suspected is not back; who could be reached and is suspected is no loss', () => {
  const mesh = new Oak([elm, ash])
  mesh.are('away', elm)
  mesh.are('suspect', elm, ash)
  expect([mesh.islands(), mesh.heals()]).toEqual([['elm'], []])
  mesh.are('reachable', elm)
  expect(mesh.islands()).toEqual([])
  // Who had left and is suspected runs again.
  mesh.are('left', ash)
  mesh.are('suspect', ash)
  expect(mesh.machine.reach().known).toContain(ash)
})

test('whoever leaves or is forgotten is on no side', () => {
  const mesh = new Oak()
  mesh.are('left', fir)
  mesh.are('away', elm, ash)
  expect(mesh.machine.reach()).toEqual({ reachable: [oak], known: [oak, elm, ash] })
  mesh.are('forgotten', elm)
  expect(mesh.islands()).toEqual(['ash'])
  mesh.are('forgotten', ash)
  expect([mesh.islands(), mesh.heals()]).toEqual([[], []])
  expect(mesh.types().at(-1)).toBe('partitionHealed')
})

test('a heal does not wait for who leaves or is forgotten, and is over when nobody is left', () => {
  for (const presence of ['left', 'forgotten'] as const) {
    const mesh = new Oak([elm, ash])
    mesh.disks.set(oak, { oak: 10, elm: 10 })
    mesh.disks.set(elm, { elm: 20 })
    mesh.disks.set(ash, { elm: 12 })
    mesh.are('away', elm, ash)
    mesh.pass(60_000)
    mesh.are('reachable', elm, ash)
    for (const peer of [elm, ash]) {
      mesh.meets(peer)
      mesh.hears(peer)
    }
    mesh.pass(config.settleMs)
    mesh.are(presence, elm)
    expect(mesh.machine.heals()).toMatchObject([
      {
        state: 'merging',
        received: { left: 2 },
        theirs: [
          { peer: elm, taken: { left: 0 } },
          { peer: ash, taken: { left: 10 } },
        ],
      },
    ])
    mesh.are(presence, ash)
    expect(mesh.machine.heals()).toMatchObject([{ state: 'interrupted', received: { left: 2 } }])
    expect(mesh.machine.isMerging).toBe(false)
  }
})

test('who comes back and leaves before the rest of its side is there holds up nothing', () => {
  const mesh = new Oak([elm, ash])
  mesh.disks.set(oak, { oak: 10 })
  mesh.disks.set(elm, {})
  mesh.disks.set(ash, { oak: 10 })
  mesh.are('away', elm, ash)
  mesh.meets(elm)
  mesh.are('reachable', elm)
  mesh.hears(elm)
  mesh.are('left', elm)
  mesh.meets(ash)
  mesh.are('reachable', ash)
  mesh.hears(ash)
  expect(mesh.heals()).toEqual(['oak / ash for 0 ms, merged'])
})

test('what a member does not keep any more is not waited for', () => {
  for (const mover of [oak, elm]) {
    const mesh = new Oak([elm])
    mesh.disks.set(oak, { oak: mover === elm ? 10 : 0, elm: 10 })
    mesh.disks.set(elm, { elm: mover === oak ? 20 : 10 })
    mesh.are('away', elm)
    mesh.pass(60_000)
    mesh.meets(elm)
    mesh.are('reachable', elm)
    mesh.hears(elm)
    mesh.pass(config.settleMs)
    expect(mesh.heals()).toEqual(['oak / elm for 60000 ms, merging'])
    mesh.keeps = (peer) => peer !== mover
    mesh.hears(elm)
    expect(mesh.heals()).toEqual(['oak / elm for 60000 ms, merged'])
  }
  const mesh = new Oak([elm])
  mesh.disks.set(oak, { elm: 10 })
  mesh.disks.set(elm, { elm: 20 })
  mesh.are('away', elm)
  mesh.meets(elm)
  mesh.are('reachable', elm)
  mesh.hears(elm)
  mesh.keeps = () => false
  mesh.pass(config.settleMs)
  expect(mesh.heals()).toEqual(['oak / elm for 0 ms, merged'])
})

test('what moves both ways is counted from the cut to what was there when they met, and no further', () => {
  const mesh = new Oak([elm, ash])
  mesh.disks.set(oak, { oak: 10, elm: 10, ash: 10 })
  mesh.disks.set(elm, { oak: 10, elm: 10, ash: 10 })
  mesh.disks.set(ash, { oak: 10, elm: 10, ash: 10 })
  mesh.are('away', elm, ash)
  mesh.pass(60_000)
  mesh.disks.set(oak, { oak: 25, elm: 10, ash: 10 })
  mesh.meets(elm)
  mesh.are('reachable', elm, ash)
  mesh.disks.set(elm, { oak: 10, elm: 17, ash: 14 })
  mesh.hears(elm)
  expect(mesh.machine.heals()[0]).toMatchObject({ state: 'merging', received: { records: 0, left: 11 } })
  // Elm passes on what ash has written before oak meets ash.
  mesh.stores(ash, 14)
  mesh.meets(ash)
  mesh.disks.set(ash, { oak: 10, elm: 17, ash: 14 })
  mesh.hears(ash)
  mesh.finds(3, elm, 12)
  mesh.finds(1, elm, 17)
  mesh.finds(1, oak, 12)
  // More is published after the heal.
  mesh.stores(elm, 20)
  for (const peer of [elm, ash]) {
    mesh.disks.set(peer, { oak: 30, elm: 20, ash: 14 })
    mesh.hears(peer)
  }
  const takenBy = (peer: PeerId) => ({ peer, taken: { records: 15, left: 0, feeds: 1 } })
  expect(mesh.machine.heals()).toMatchObject([
    {
      state: 'merged',
      received: { records: 11, left: 0, feeds: 2 },
      theirs: [takenBy(elm), takenBy(ash)],
      duplicates: 3,
    },
  ])
})

test('what others of our side pass on before this peer hears of the heal counts, what they had before the cut does not', () => {
  const mesh = new Oak([elm, ash])
  mesh.disks.set(oak, { ash: 10 })
  mesh.disks.set(ash, { ash: 15 })
  mesh.are('away', ash)
  mesh.pass(1_000)
  // Elm had two records more than oak when the cut began.
  mesh.stores(ash, 12)
  mesh.pass(60_000)
  mesh.stores(ash, 13)
  mesh.stores(ash, 14)
  mesh.are('reachable', ash)
  mesh.meets(ash)
  mesh.hears(ash)
  mesh.stores(ash, 15)
  expect(mesh.machine.heals()).toMatchObject([{ state: 'merged', received: { records: 3, left: 0 } }])
})

test('what came of who is away long before the heal takes no room from what comes right before it', () => {
  const mesh = new Oak([elm, ash])
  mesh.disks.set(oak, { elm: 10 })
  mesh.disks.set(elm, { elm: 15 })
  // Ash never comes back.
  mesh.are('away', elm, ash)
  const topics = Array.from({ length: limits.mergeFeedsMax }, (_, n) => `topic-${n}` as TopicId)
  const feeds = topics.map((topicId) => ({ ...ordersOf(ash), topicId }))
  mesh.machine.handle({ type: 'storing', feeds }, mesh.nowMs)
  mesh.pass(60_000)
  mesh.stores(elm, 12)
  mesh.are('reachable', elm)
  mesh.meets(elm)
  mesh.hears(elm)
  mesh.pass(config.settleMs)
  expect(mesh.machine.heals()).toMatchObject([{ state: 'merging', received: { records: 2, left: 3 } }])
})

test('of a member that this peer has never met, what it holds when it comes counts for nothing', () => {
  const mesh = new Oak([elm, ash])
  mesh.disks.set(oak, { oak: 25 })
  mesh.are('away', elm, ash)
  mesh.pass(60_000)
  mesh.are('reachable', elm, ash)
  mesh.meets(elm)
  mesh.disks.set(elm, { oak: 20 })
  // Ash had been met, and had nothing then.
  mesh.disks.set(ash, {})
  mesh.meets(ash)
  mesh.disks.set(ash, { oak: 25 })
  for (const peer of [elm, ash]) mesh.hears(peer)
  mesh.disks.set(elm, { oak: 25 })
  mesh.hears(elm)
  expect(mesh.machine.heals()[0]?.theirs.map(({ taken }) => taken.records)).toEqual([5, 25])
})

test('a feed that is forgotten meanwhile does not hold up a heal; a side that is lost again ends it', () => {
  const mesh = new Oak([elm])
  mesh.disks.set(oak, { oak: 10, elm: 10 })
  mesh.disks.set(elm, { oak: 10, elm: 20 })
  const meet = (): void => {
    mesh.are('away', elm)
    mesh.pass(10_000)
    mesh.are('reachable', elm)
    mesh.meets(elm)
    mesh.hears(elm)
  }
  meet()
  expect(mesh.machine.heals()[0]).toMatchObject({ state: 'merging', received: { left: 10 } })
  const gone = [feedKeyOf(ordersOf(elm))]
  mesh.machine.handle({ type: 'told', peer: elm, feeds: [], gone, all: true }, mesh.nowMs)
  expect(mesh.machine.heals()[0]).toMatchObject({ state: 'merged', received: { records: 0, left: 0 } })
  mesh.pass(config.settleMs)
  meet()
  mesh.pass(config.settleMs)
  mesh.are('away', elm)
  expect(mesh.machine.heals()[0]).toMatchObject({ state: 'interrupted', received: { left: 10 } })
})

test('reports are bounded, and nothing is counted any more when all is merged', () => {
  const mesh = new Oak([elm])
  for (let n = 0; n < limits.healReportsMax + 5; n++) {
    mesh.are('away', elm)
    mesh.pass(10_000)
    mesh.are('reachable', elm)
    mesh.pass(config.settleMs)
  }
  expect(mesh.heals()).toHaveLength(limits.healReportsMax)
  expect(mesh.machine.isMerging).toBe(false)
})
