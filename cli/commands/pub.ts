import { Command, Option } from 'commander'
import type { Mesh } from '#client/mesh'
import type { Ack, PublishOptions } from '#client/publish'
import type { OutgoingRecord } from '#client/record'
import { MeshError } from '#protocol/errors'
import { textOf } from '#protocol/text'
import { ackText, checkAckLevel, waitOption } from '../ack-options.ts'
import { collected, connectTo, formatOf, withClientOptions, type ClientOptions, type Context } from '../context.ts'
import { exitCodes } from '../exit-codes.ts'
import { inputOf, wholeInput } from '../input.ts'
import { lineBatches } from '../lines.ts'
import { counted, jsonLine } from '../output.ts'
import { Progress } from '../progress.ts'
import { say, warn, write } from '../terminal.ts'

const help = `
Without a value the whole of stdin is one record. With --lines each line is one,
empty lines too, sent as they come.

Exit code 3: stored at the peer that answered, but the ack level was not reached
within --wait. Do not publish again: the mesh goes on copying.
GRAPEVINE_OUTCOME_UNKNOWN: the answer was lost, and no server answered in time
when asked again; the records may or may not be stored. With the same
--idempotency-key it is safe to publish again.

Examples:
  $ grapevine pub orders 'ten pears' --key customer-7
  $ grapevine pub orders --ack majority --content-type application/json < a.json
  $ journalctl --follow | grapevine pub logs --lines`

interface PubOptions extends ClientOptions {
  readonly lines?: true
  readonly ack: string
  readonly wait?: string
  readonly key?: string
  readonly header?: readonly string[]
  readonly contentType?: string
  readonly idempotencyKey?: string
}

export function pubCommand(context: Context): Command {
  return withClientOptions(new Command('pub'))
    .description('publish records to a topic')
    .argument('<topic>', 'dot-separated tokens, such as orders.eu')
    .argument('[value]', 'the record; - or nothing: stdin')
    .option('-l, --lines', 'one record per line of stdin')
    .option('-a, --ack <level>', 'wait until it is on disk at: local, n:K, majority or all', 'local')
    .addOption(waitOption())
    .option('-k, --key <text>', 'key of the records')
    .addOption(new Option('-H, --header <name=value>', 'header of the records; repeat for more').argParser(collected))
    .option('--idempotency-key <text>', 'name of this publish: any peer that has it answers with what is stored')
    .option('--content-type <type>', 'default: text/plain, or application/octet-stream if not UTF-8')
    .addHelpText('after', help)
    .action(async (topic: string, value: string | undefined, options: PubOptions) => {
      checkAckLevel(options.ack)
      if (options.lines === true && value !== undefined && value !== '-') {
        throw new MeshError('USAGE', `--lines takes the records from stdin: leave out ${value}`)
      }
      if (options.lines === true && options.idempotencyKey !== undefined) {
        throw new MeshError('USAGE', '--idempotency-key names one publish, and --lines makes many')
      }
      const recordOf = recordMaker(options)
      await using mesh = await connectTo(context, options)
      const call = { context, mesh, topic, options, recordOf }
      await (options.lines === true ? publishLines(call) : publishOne(call, value))
    })
}

interface Call {
  readonly context: Context
  readonly mesh: Mesh
  readonly topic: string
  readonly options: PubOptions
  readonly recordOf: (value: Uint8Array | string) => OutgoingRecord
}

async function publishOne(call: Call, given: string | undefined): Promise<void> {
  const { context, mesh, topic, options, recordOf } = call
  const { terminal } = context
  const value = given === undefined || given === '-' ? await wholeInput(terminal) : given
  if (typeof value !== 'string' && value.length === 0) warn(terminal, 'stdin is empty, and so is the record')
  const { ids, ...rest } = await mesh
    .publishMany(topic, [recordOf(value)], publishOptions(call))
    .catch((error: unknown) => {
      if (terminal.stop.aborted) say(terminal, 'Interrupted: the record may be stored or not.')
      throw error
    })
  const published = { id: ids[0], topic, ...rest }
  tellLevel(context, rest)
  const text = formatOf(context, options) === 'json' ? jsonLine(published) : `${published.id}  ${ackText(rest)}\n`
  await write(terminal, text)
}

async function publishLines(call: Call): Promise<void> {
  const { context, mesh, topic, options, recordOf } = call
  const { terminal } = context
  const progress = new Progress(terminal)
  let records = 0
  let underWay = 0
  let last: { first: string; last: string; cursor: string; ack: Ack } | undefined
  try {
    for await (const batch of lineBatches(inputOf(terminal))) {
      underWay = batch.length
      const { ids, cursor, ...ack } = await mesh.publishMany(topic, batch.map(recordOf), publishOptions(call))
      underWay = 0
      records += ids.length
      last = {
        first: last?.first ?? (ids[0] as string),
        last: ids.at(-1) as string,
        cursor,
        ack: worse(last?.ack, ack),
      }
      progress.show(`${counted(records, 'record')} published`)
    }
  } catch (error) {
    progress.end()
    say(terminal, whereItBroke({ records, underWay, isUnknown: terminal.stop.aborted || isOutcomeUnknown(error) }))
    throw error
  }
  progress.end()
  if (last !== undefined) tellLevel(context, last.ack)
  const summary = `${counted(records, 'record')} published to ${topic}${last === undefined ? '' : `  ${ackText(last.ack)}`}\n`
  await write(terminal, formatOf(context, options) === 'json' ? jsonLine({ topic, records, ...last }) : summary)
}

const isOutcomeUnknown = (error: unknown): boolean => error instanceof MeshError && error.code === 'OUTCOME_UNKNOWN'

interface Break {
  readonly records: number
  /** Lines that were sent when it broke. */
  readonly underWay: number
  readonly isUnknown: boolean
}

/** A script that publishes again must know from which line on. */
function whereItBroke({ records, underWay, isUnknown }: Break): string {
  const published = `${records === 0 ? 'No line' : `Lines 1 to ${records}`} published`
  if (underWay === 0) return `${published}.`
  const fate = isUnknown ? 'may be stored or not' : 'are not stored'
  return `${published}; lines ${records + 1} to ${records + underWay} ${fate}.`
}

/** Of several acks, the one that promises less. */
const worse = (a: Ack | undefined, b: Ack): Ack => (a !== undefined && a.copies < b.copies ? a : b)

function tellLevel(context: Context, ack: Ack): void {
  if (ack.reached) return
  context.exitCode = exitCodes.degraded
  warn(
    context.terminal,
    `stored, but ack=${ack.level} was not reached in time. The mesh goes on copying; do not publish again.`,
  )
}

const publishOptions = ({ context, options }: Call): PublishOptions => ({
  ack: options.ack,
  signal: context.terminal.stop,
  ...(options.wait === undefined ? {} : { wait: options.wait }),
  ...(options.idempotencyKey === undefined ? {} : { idempotencyKey: options.idempotencyKey }),
})

function recordMaker(options: PubOptions): Call['recordOf'] {
  const { key, contentType } = options
  const headers = headersOf(options.header ?? [])
  const common = {
    ...(key === undefined ? {} : { key }),
    ...(headers === undefined ? {} : { headers }),
    ...(contentType === undefined ? {} : { contentType }),
  }
  return (value) => ({ ...common, value: typeof value === 'string' ? value : (textOf(value) ?? value) })
}

function headersOf(texts: readonly string[]): Record<string, string> | undefined {
  if (texts.length === 0) return undefined
  return Object.fromEntries(
    texts.map((text) => {
      const at = text.indexOf('=')
      if (at < 1) throw new MeshError('USAGE', `--header ${text} must be name=value`)
      return [text.slice(0, at), text.slice(at + 1)]
    }),
  )
}
