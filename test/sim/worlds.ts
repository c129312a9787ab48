import { harsh, optionsOfSeed } from './swarm.ts'
import type { SimOptions } from './swarm.ts'

/** How a seed becomes a world: as `swarm.ts` chooses, or with everything going wrong all the time. */
export type WorldKind = 'swarm' | 'harsh'

export interface World {
  readonly seed: number
  readonly kind: WorldKind
}

export const optionsOf = ({ seed, kind }: World): SimOptions =>
  kind === 'harsh' ? harsh(optionsOfSeed(seed)) : optionsOfSeed(seed)

/** Worlds that once went wrong. They always run: what broke once tends to break again, nearby. */
export const corpus: readonly (World & { readonly lesson: string })[] = [
  // A wiped disk made two feeds go on from one; at a peer that knew only one of them, records were read twice.
  {
    seed: 635,
    kind: 'swarm',
    lesson: 'a reader waits for the opening of a feed in its cursor, also when another implies something',
  },
  // A neighbor gave back an opening that a power cut had kept from the writer's disk; until it was stored, the writer
  // saw no feed of its own to go on from, and began at offset 0.
  { seed: 87, kind: 'swarm', lesson: 'a writer goes on from what its disk knows, whatever is on its way there' },
  // A feed that a crash had kept from its writer's disk came back from a neighbor, was longer than the one in which the
  // writer had acked since, and the next boot went on from it.
  { seed: 2054, kind: 'harsh', lesson: 'a writer goes on from its newest feed, not from its longest' },
  // The wall clock was set an hour back, so that the hybrid clock stood still: a feed that a crash had kept from its
  // writer's disk was as old, to the millisecond, as the one that the writer had acked in since.
  { seed: 14, kind: 'harsh', lesson: 'the order of boots is noted on disk; times do not tell it' },
  // Such a feed came back and went on from the newest that the disk knew: that one was no tip any more.
  { seed: 38, kind: 'harsh', lesson: 'a writer goes on from what goes on from its newest feed' },
  // A clone of the machine went on from an early end of the newest feed, which the machine itself went on with meanwhile.
  { seed: 201, kind: 'swarm', lesson: 'a writer goes on from the end of its newest feed, not from a branch below it' },
  // Elm let go of what yew had taken over, and yew's word of it came later than elm's: a reader was told that it was lost.
  { seed: 758, kind: 'swarm', lesson: 'nothing is lost before everybody was asked for it' },
  // A path of 100 kB/s took longer for a frame than a want may wait: everything was asked for, and sent, twice.
  { seed: 168, kind: 'swarm', lesson: 'a want waits as long as its link brings anything, and longer each time' },
  // Damage was found while a lost range that was passed over was on its way to disk: the list of holes was written without it.
  { seed: 50, kind: 'swarm', lesson: 'what is noted of damage does not undo what was passed over meanwhile' },
  // A record came to a feed that waits for one that is lost, while its reader fetched a batch of another feed: the reader
  // was never told that this one waits, too.
  { seed: 248, kind: 'swarm', lesson: 'what comes while a reader is busy wakes it afterwards' },
  // A floor rose between the second question and its last answer: what is kept was set below it, and the peer ended.
  { seed: 942, kind: 'swarm', lesson: 'nothing is let go of that retention has passed over meanwhile' },
  // A writer was put back to a backup twice; retention had emptied what one of its branches began with.
  {
    seed: 169,
    kind: 'swarm',
    lesson: 'of a branch whose beginning everybody has forgotten, only what goes on from it is waited for',
  },
  // Of a feed that a reader had not begun, the first record was a repeat and the second was lost everywhere.
  { seed: 591, kind: 'swarm', lesson: 'a repeat is passed over also in front of what is told to be lost' },
  // The disk of a writer was lost, and all that it had written before but the last feed is forgotten: cursors imply a feed that
  // nobody knows any more, and their readers waited for ever with what it wrote from then on.
  {
    seed: 136,
    kind: 'swarm',
    lesson: 'what was opened later than what goes on from a forgotten feed was not implied by that',
  },
  // A link that nobody had needed came back just when all was over: until it had told anything, its peer was said to lag.
  { seed: 3230, kind: 'swarm', lesson: 'what a member told last holds on a new link, too, until that tells something' },
  // All that the index had room for of a producer was accepted at several peers, and kept out what was new.
  { seed: 308, kind: 'swarm', lesson: 'what was accepted twice does not keep out what is new' },
  // Where links are few, everybody was called for what is to be forgotten, was looked at once, and a dial had failed; and then a minute later.
  { seed: 3321, kind: 'swarm', lesson: 'who calls everybody looks until they are there' },
  // A forgotten member stayed linked: with it there were more links than are kept, though not more members, and one of a member was closed.
  { seed: 3483, kind: 'swarm', lesson: 'whether links are few is told by who belongs, not by who is linked' },
  // At the last look a link was two milliseconds old, and its summary another one, for what is followed is told anew: nobody is
  // promised that a peer says at each moment that all has converged.
  { seed: 3553, kind: 'swarm', lesson: 'where links come and go, mesh and checker may need another moment to agree' },
  // A writer had handed over a record, and took a retry of it for new: home had it twice in one feed, and its index joined what was around the second.
  { seed: 4560, kind: 'swarm', lesson: 'two copies in one feed stay two, however their producer goes on' },
  // The other copy of a record lay behind a range that nobody had any more: whoever looked for it stopped in front of that.
  { seed: 4602, kind: 'swarm', lesson: 'who looks for a copy goes on behind what is lost' },
  // A writer had lost its disk, and the first that it wrote after that was forgotten: nobody could tell whether that went on from
  // what it had written before, so who began at the earliest waited for ever for what everybody held.
  { seed: 4334, kind: 'swarm', lesson: 'a cursor that begins at the earliest names what is not begun' },
  // The disk was slow, and somebody came home between the last confirmation and the write.
  { seed: 4384, kind: 'swarm', lesson: 'what may be let go of is decided before it is written' },
  // What was left over above the limit was damage that nobody had any more.
  { seed: 4665, kind: 'swarm', lesson: 'damage counts as nothing, and goes with what follows' },
  // A peer that had never run joined for 37 ms between two looks.
  { seed: 4800, kind: 'swarm', lesson: 'an end is noticed also of a run that no look has seen' },
  // A feed grew faster than its disk is read to measure it; what was written was measured only where it went on from what was
  // measured already, which it never did: retention came later and later.
  {
    seed: 5626,
    kind: 'swarm',
    lesson: 'what is written is measured as it comes, also behind what is not measured yet',
  },
  // A new peer was told to join by one that had been switched off for good.
  { seed: 5758, kind: 'swarm', lesson: 'who is to be joined by is not switched off' },
  // Two meshes were to meet through a peer that was decommissioned in one of them before it had reached the other.
  { seed: 6029, kind: 'swarm', lesson: 'who is to bring two meshes together is not switched off' },
  // It was told of a peer and gave it a copy, and its disk failed before who belongs was written.
  { seed: 6097, kind: 'swarm', lesson: 'who is not known to belong cannot be asked for what is lost here' },
]
