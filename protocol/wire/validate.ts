import { parseEpoch, parseHash, parsePeerId, parseTopicId } from '#protocol/ids'
import { utf8 } from '#protocol/text'

/**
 * Small checks for what other peers send, composed to the shape of a message. A check gives a fresh value of the proper
 * type or says where it is bad; it never throws and never passes on an object that it did not build itself.
 */
export type Check<T> = (value: unknown) => T | Bad

/** The path of the first field that failed, built from the inside out. */
export class Bad {
  readonly path: string

  constructor(path: string) {
    this.path = path
  }

  within(outer: string): Bad {
    return new Bad(outer + this.path)
  }
}

const here = new Bad('')

const accepting =
  <T>(accepts: (value: unknown) => value is T): Check<T> =>
  (value) =>
    accepts(value) ? value : here

const parsing =
  <T>(parse: (value: unknown) => T | undefined): Check<T> =>
  (value) =>
    parse(value) ?? here

export const peerId = parsing(parsePeerId)
export const topicId = parsing(parseTopicId)
export const epoch = parsing(parseEpoch)
export const hash = parsing(parseHash)

export const flag = accepting((value): value is boolean => typeof value === 'boolean')
/** For a flag that is left out when it is not set. */
export const yes = accepting((value): value is true => value === true)

/** A whole number in `[min, max]`; at most 2^53 − 1, so that every offset is exact. −0 becomes 0. */
export const whole =
  (min: number, max = Number.MAX_SAFE_INTEGER): Check<number> =>
  (value) =>
    typeof value === 'number' && Number.isSafeInteger(value) && min <= value && value <= max ? value + 0 : here

export const oneOf = <const T extends string>(...words: readonly T[]): Check<T> =>
  accepting((value): value is T => words.some((word) => word === value))

// oxlint-disable-next-line no-control-regex -- what a terminal would obey has no place in names that we print
const controls = /[\u0000-\u001f\u007f-\u009f]/
const controlsAll = new RegExp(controls, 'g')

/** Well-formed text without control characters, at most `bytesMax` bytes of UTF-8; may be empty. */
export const text = (bytesMax: number): Check<string> =>
  accepting(
    (value): value is string =>
      typeof value === 'string' &&
      value.length <= bytesMax &&
      value.isWellFormed() &&
      !controls.test(value) &&
      // A UTF-16 unit takes three bytes at most, so that little is measured.
      (3 * value.length <= bytesMax || utf8(value).length <= bytesMax),
  )

/** Text that only people read: made legible and cut at `lengthMax` characters, rather than refused. */
export const prose =
  (lengthMax: number): Check<string> =>
  (value) =>
    typeof value === 'string' ? value.slice(0, lengthMax).toWellFormed().replace(controlsAll, ' ') : here

/** Text of a grammar, such as `host:port`. */
export const matching = (pattern: RegExp, lengthMax: number): Check<string> =>
  accepting((value): value is string => typeof value === 'string' && value.length <= lengthMax && pattern.test(value))

export const optional =
  <T>(check: Check<T>): Check<T | undefined> =>
  (value) =>
    value === undefined ? undefined : check(value)

/** At most `countMax` items. */
export const list =
  <T>(check: Check<T>, countMax: number): Check<readonly T[]> =>
  (value) => {
    if (!Array.isArray(value) || value.length > countMax) return here
    const items: T[] = []
    for (const [index, entry] of value.entries()) {
      const item = check(entry)
      if (item instanceof Bad) return item.within(`[${index}]`)
      items.push(item)
    }
    return items
  }

/** An object with these fields; others are ignored, so that a newer version may add some. */
export const object =
  <T extends object>(fields: { readonly [Name in keyof T]-?: Check<T[Name]> }): Check<T> =>
  (value) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return here
    const result: Partial<T> = {}
    for (const name in fields) {
      const field = fields[name](Object.hasOwn(value, name) ? (value as Partial<T>)[name] : undefined)
      if (field instanceof Bad) return field.within(`.${name}`)
      if (field !== undefined) result[name] = field
    }
    return result as T
  }

/** An array with these fields in this order: an object without the names. Optional ones may be missing at the end. */
export const tuple =
  <T extends readonly unknown[]>(...fields: { readonly [Index in keyof T]: Check<T[Index]> }): Check<T> =>
  (value) => {
    if (!Array.isArray(value)) return here
    const result: unknown[] = []
    for (const [index, check] of fields.entries()) {
      const field = check(value[index])
      if (field instanceof Bad) return field.within(`[${index}]`)
      result.push(field)
    }
    return result as unknown as T
  }

/** A value that passes the check, and this one of its kind too. */
export const satisfying =
  <T>(check: Check<T>, accepts: (value: T) => boolean): Check<T> =>
  (value) => {
    const checked = check(value)
    return checked instanceof Bad || accepts(checked) ? checked : here
  }

export const mapped =
  <A, B>(check: Check<A>, map: (value: A) => B): Check<B> =>
  (value) => {
    const checked = check(value)
    return checked instanceof Bad ? checked : map(checked)
  }
