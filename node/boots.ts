import { type Epoch, parseEpoch } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { utf8 } from '#protocol/text'
import type { FeedStore, MetaChange } from '#storage/feed-store'

const key = 'boots'

/** The epochs of this peer's boots that have come to its disk, oldest first. */
export async function readBoots(store: Pick<FeedStore, 'getMeta'>): Promise<readonly Epoch[]> {
  const text = new TextDecoder().decode(await store.getMeta(key))
  return text.split(' ').flatMap((word) => parseEpoch(word) ?? [])
}

/** What notes one more; what it writes is on disk before anything of that boot is. */
export const bootNoted = (boots: readonly Epoch[], epoch: Epoch): MetaChange => ({
  type: 'meta',
  key,
  value: utf8([...boots, epoch].slice(-limits.bootsMax).join(' ')),
})
