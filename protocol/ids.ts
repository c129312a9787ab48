import { hexOf, utf8 } from '#protocol/text'
import type { Digests } from '#protocol/digests'

/** Ids are branded: parse at the edge, trust inside. */
declare const brand: unique symbol
export type Brand<T, Name extends string> = T & { readonly [brand]: Name }

/** A libp2p peer id in base58, such as `12D3KooW…`; ASCII without `/` or `.`, at most 128 characters. */
export type PeerId = Brand<string, 'PeerId'>
/** 64 random bits drawn at every boot of a peer, as 16 hex characters. Tells the feeds of its boots apart. */
export type Epoch = Brand<string, 'Epoch'>
/** First 16 bytes of SHA-256(clusterId ‖ name ‖ generation), as 32 hex characters. */
export type TopicId = Brand<string, 'TopicId'>
/** A SHA-256 as 64 lower-case hex characters. */
export type Hash = Brand<string, 'Hash'>

const parser =
  <T extends string>(pattern: RegExp) =>
  (text: unknown): T | undefined =>
    typeof text === 'string' && pattern.test(text) ? (text as T) : undefined

export const parsePeerId = parser<PeerId>(/^[A-Za-z0-9_-]{1,128}$/)
export const parseEpoch = parser<Epoch>(/^[0-9a-f]{16}$/)
export const parseTopicId = parser<TopicId>(/^[0-9a-f]{32}$/)
export const parseHash = parser<Hash>(/^[0-9a-f]{64}$/)

/** `generation` rises when a topic of this name is deleted (DESIGN §4). The parts are length-prefixed, so that no two triples collide. */
export function topicIdOf(
  digests: Digests,
  topic: { readonly cluster: string; readonly name: string; readonly generation: number },
): TopicId {
  const digest = digests.sha256(utf8(JSON.stringify([topic.cluster, topic.name, topic.generation])))
  return hexOf(digest.subarray(0, 16)) as TopicId
}
