import type { Reachability } from './broker.ts'

/** What a reader is told of the mesh while it reads: names of members, as this peer believes. */
export type MeshNews =
  | { readonly event: 'partition'; readonly reachable: readonly string[]; readonly known: readonly string[] }
  | { readonly event: 'healed' }

/** Finds what there is to tell: a partition, again when other members are reached, and that it is over. */
export class MeshWatch {
  #mesh: Reachability = { reachable: [], known: [] }

  /** What somebody who comes now is told. */
  get partition(): MeshNews | undefined {
    return isSplit(this.#mesh) ? { event: 'partition', ...this.#mesh } : undefined
  }

  /** What somebody is told who knew how it was before. */
  change(mesh: Reachability): MeshNews | undefined {
    const before = this.#mesh
    this.#mesh = { reachable: mesh.reachable, known: mesh.known }
    if (isSplit(mesh)) return sameMembers(before, mesh) ? undefined : this.partition
    return isSplit(before) ? { event: 'healed' } : undefined
  }
}

const isSplit = ({ reachable, known }: Reachability): boolean => reachable.length < known.length

const sameMembers = (a: Reachability, b: Reachability): boolean =>
  sameNames(a.reachable, b.reachable) && sameNames(a.known, b.known)

const sameNames = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((name, index) => name === b[index])
