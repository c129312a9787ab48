/** A batch of records, whatever it looks like; `application/json` is one too if the body is exactly `{"records": […]}`. */
export const recordsMediaType = 'application/vnd.grapevine.records+json'

/** What a record without a Content-Type is taken for (RFC 9110 §8.3). */
export const unknownMediaType = 'application/octet-stream'

/** How a value of a Content-Type is shown in JSON (DESIGN §11). */
export type ValueForm = 'json' | 'text' | 'bytes'

const syntax = /^[!#$%&'*+\-.^_`|~\w]+\/[!#$%&'*+\-.^_`|~\w]+[ \t]*(;[\t\x20-\x7e]*)?$/
const contentTypeLengthMax = 255

export const isContentType = (text: string): boolean => text.length <= contentTypeLengthMax && syntax.test(text)

/** `type/subtype` in lower case, without parameters. */
export const mediaTypeOf = (contentType: string): string => (contentType.split(';', 1)[0] ?? '').trim().toLowerCase()

/** JSON and text are what the type says and UTF-8; text in another charset stays bytes. */
export function valueFormOf(contentType: string): ValueForm {
  const mediaType = mediaTypeOf(contentType)
  if (mediaType === 'application/json' || mediaType.endsWith('+json')) return 'json'
  if (!mediaType.startsWith('text/')) return 'bytes'
  const charset = /;\s*charset\s*=\s*"?([^\s";]*)/i.exec(contentType)?.[1]?.toLowerCase() ?? 'utf-8'
  return charset === 'utf-8' || charset === 'utf8' || charset === 'us-ascii' ? 'text' : 'bytes'
}
