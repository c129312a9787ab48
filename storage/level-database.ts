import { type KeyRange, sealed } from './level-layout.ts'

type Bytes = Uint8Array

export type LevelOperation =
  | { readonly type: 'put'; readonly key: Bytes; readonly value: Bytes }
  | { readonly type: 'del'; readonly key: Bytes }

export const put = (key: Bytes, value: Bytes): LevelOperation => ({ type: 'put', key, value })
export const putSealed = (key: Bytes, value: Bytes): LevelOperation => put(key, sealed(key, value))
export const del = (key: Bytes): LevelOperation => ({ type: 'del', key })

export interface LevelIteratorOptions extends KeyRange {
  readonly reverse?: boolean
  /** How much classic-level reads ahead at a time; other databases ignore it. */
  readonly highWaterMarkBytes?: number
}

export interface LevelIterator extends AsyncIterable<[Bytes, Bytes]> {
  nextv(size: number): Promise<[Bytes, Bytes][]>
  close(): Promise<void>
}

/** The part of abstract-level that the store uses, with keys and values as bytes (encoding `view`). */
export interface LevelDatabase {
  open(): Promise<void>
  close(): Promise<void>
  get(key: Bytes): Promise<Bytes | undefined>
  getMany(keys: Bytes[]): Promise<(Bytes | undefined)[]>
  /** All or nothing; with `sync`, on disk when it resolves. */
  batch(operations: LevelOperation[], options: { readonly sync: boolean }): Promise<void>
  iterator(options: LevelIteratorOptions): LevelIterator
  clear(range: KeyRange): Promise<void>
  /** Rewrites a range without what was deleted in it. Only databases on disk have it. */
  compactRange?(from: Bytes, to: Bytes): Promise<void>
}
