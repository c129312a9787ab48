import type { Gap } from '#client/record'

/** Milliseconds of one clock, that of the ledger: whatever was observed, in the order in which it was. */
export type LedgerMs = number

/** Records of one feed with consecutive offsets, [from, from + count). */
export interface Run {
  /** `<peerId>.<epoch>` */
  readonly feed: string
  readonly from: number
  readonly count: number
}

/** `info`: it may have happened or not, now or later. A timeout is that, never `fail`. */
export type Outcome =
  | Ok
  /** Refused: nothing of it was accepted, nor will be. */
  | { readonly type: 'fail'; readonly atMs: LedgerMs; readonly code: string }
  | { readonly type: 'info'; readonly atMs: LedgerMs; readonly code: string }

export interface Ok {
  readonly type: 'ok'
  readonly atMs: LedgerMs
  /** Where its records are, in the order of the publish. */
  readonly runs: readonly Run[]
  readonly reached: boolean
  /** Names of the peers on whose disks all of it is. */
  readonly copies: readonly string[]
  /** Names of the members that `majority` and `all` count. */
  readonly home: readonly string[]
}

/** One request: records [firstSeq, firstSeq + count) of a writer, which numbers them through from 0. */
export interface Publish {
  readonly writer: string
  readonly topic: string
  readonly firstSeq: number
  readonly count: number
  /** The peer that was asked. */
  readonly at: string
  /** `local`, `n:K`, `majority` or `all` */
  readonly level: string
  readonly invokedAtMs: LedgerMs
  /** The same records were sent before, and what became of that is not known. */
  readonly isRetry: boolean
  /** It carried what lets a peer recognize a retry, so that its records come once (P6). */
  readonly isKeyed: boolean
  /** How often the client may have sent it by itself; once if that is not said. */
  readonly sends?: number
  readonly outcome: Outcome
}

export const isOk = (publish: Publish): publish is Publish & { readonly outcome: Ok } => publish.outcome.type === 'ok'

/** A disk that lost what it held: it was deleted, or bytes of it were changed. A disk is called as its peer. */
export interface DiskFault {
  readonly disk: string
  readonly atMs: LedgerMs
}

/** One record as it was read. */
export interface ReadRecord {
  readonly feed: string
  readonly offset: number
  readonly writer: string
  readonly seq: number
}

/** What one reader was given of a topic, from its earliest record on, in this order. */
export type ReadEvent =
  | ({ readonly type: 'record' } & ReadRecord)
  | { readonly type: 'gap'; readonly gap: Gap }
  /** Bytes that no writer has published. */
  | { readonly type: 'damaged'; readonly feed: string; readonly offset: number }

export interface Reading {
  /** Who served or read it, in words. */
  readonly by: string
  readonly topic: string
  /** It was read at several peers, with a cursor. One that lacks the copy that was read may serve another one (P6). */
  readonly moved: boolean
  readonly events: Iterable<ReadEvent>
}

export interface History {
  readonly publishes: readonly Publish[]
  readonly diskFaults: readonly DiskFault[]
}

export const placeText = ({ feed, offset }: { readonly feed: string; readonly offset: number }): string => {
  const [writer, epoch] = feed.split('.')
  return `${writer?.slice(-4)}.${epoch?.slice(0, 4)}.${offset}`
}
