/** What a writer tells of its store: `ordered` when a change is handed over, and without it once that is on disk. */
export type Told = { readonly ordered?: true } & (
  | { readonly type: 'batch'; readonly feed: string; readonly nextOffset: number; readonly hash: string }
  | { readonly type: 'floor' | 'kept'; readonly feed: string; readonly offset: number }
  | { readonly type: 'holes' | 'fill'; readonly feed: string }
  | { readonly type: 'forget'; readonly feed: string; readonly rooted: string }
)
