import type { ErrorCode } from '#protocol/errors'

/** Why a problem comes about, for its page, where its title and what to do do not say it. */
export const problemCauses: Partial<Record<ErrorCode, string>> = {
  BAD_REQUEST:
    'A parameter, a header or a field is missing, unknown, or not what it takes. What is misspelled is refused rather than ignored: it might have asked for more than would be done.',
  BAD_JSON:
    'It was cut off, it is not UTF-8, it nests deeper than 64 levels, or Content-Type says JSON of something else.',
  TOPIC_NAME_INVALID:
    'Names are parts of paths, patterns and grants, so few characters are allowed. A leading $ is kept for topics of the mesh.',
  ACK_LEVEL_IMPOSSIBLE:
    'The copies are counted among the peers that keep the topic, and the one that was asked. That many there cannot be, however long it waits.',
  CURSOR_INVALID:
    'A cursor has a checksum and the id of its topic. It was changed on its way, is of another topic, or of a history that is not that of this mesh.',
  RECORD_NOT_FOUND: 'The record was never published, retention has let go of it, or it has not come to this peer yet.',
  TOPIC_NOT_FOUND: 'Nobody has made it or published to it, as far as this peer has heard.',
  CURSOR_NOT_FOUND:
    'Nobody has stored it, it was deleted, or it has not come to this peer yet. In a split a side does not know what the other one stores.',
  TOPIC_DIFFERS: 'Somebody has made it with other replicas, retention or least ack than this PUT asks for.',
  TOPIC_DELETED: 'The cursor, or the stream, was of the topic that had this name before it was deleted.',
  TOPIC_CHANGED: 'Somebody changed it between your reading and your change, maybe at another peer.',
  RECORDS_LOST:
    'Retention has let go of them since the position of this reader, or the only disks that held them were lost; and the reader asked to be strict.',
  PRODUCER_FENCED: 'Two instances use one producer id. The one with the higher epoch goes on.',
  PRODUCER_GAP: 'This peer took the record before the one that is missing, so it was refused or lost on its way.',
  RETRY_DIFFERS:
    'The key or number is how a retry is recognized. The record that is stored under it is another one, byte for byte.',
  OVERLOADED:
    'Memory for what is arriving, waiting for the disk or being read has a bound, and it is reached. Nothing was accepted of this request.',
  DISK_FULL: 'The room that is kept free on the disk is reached. A peer that filled its disk could not even delete.',
  DRAINING: 'It was told to stop. It finishes what it has taken.',
  DECOMMISSIONED: 'Somebody has decided that it leaves. It hands over what it holds, and takes nothing more.',
  FORGOTTEN: 'The mesh goes on without it, and what it would take nobody else would get.',
  STORAGE_FAILED: 'A write or fsync failed. No peer goes on after that: it could not say any more what is on its disk.',
  INTERNAL: 'An error that nobody has thought of. What happened is in the log of the peer, and never in an answer.',
  ORIGIN_REFUSED:
    'A browser sent the request for a page of another origin, which is not among those that this peer allows.',
  LAB_DISABLED:
    'Cutting links is for those who try out what a split does. It is not possible unless the peer was started for it.',
  UPGRADE_REQUIRED: 'The request asked for no WebSocket, or not for one that is spoken here.',
  MEMBER_ALIVE: 'A peer that runs can hand over what it holds; one that is forgotten cannot.',
  REQUEST_TIMEOUT:
    'The head or the body did not come in time. A connection that trickles costs as much as one that works.',
}
